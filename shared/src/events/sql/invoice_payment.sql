, invoice_payment as (
    insert into recoup.invoice_payments as kept (
        id, account, invoice_id, payment_id, charge_id, status, amount_paid, currency, paid_at, created_at,
        event_id, event_created, event_rank
    )
    select $10, account, $11, $12, $13, $14, $15, $16, $17, $18, event_id, event_created, event_rank
    from event
    on conflict (id) do update set
        invoice_id = excluded.invoice_id,
        payment_id = excluded.payment_id,
        charge_id = excluded.charge_id,
        status = excluded.status,
        amount_paid = excluded.amount_paid,
        currency = excluded.currency,
        paid_at = excluded.paid_at,
        event_id = excluded.event_id,
        event_created = excluded.event_created,
        event_rank = excluded.event_rank
    where (kept.event_created, kept.event_rank, kept.event_id)
        < (excluded.event_created, excluded.event_rank, excluded.event_id)
)
-- The default one is Stripe's own; others were attached by hand, beside it.
, billed as (
    select $11 as id, $12 as payment_id where $12::text is not null and $19
)
