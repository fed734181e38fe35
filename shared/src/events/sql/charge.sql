-- Until 2025-03-31 what was never captured counts as refunded at Stripe; it was never paid. A release of the
-- whole authorization still does.
, charge as (
    insert into recoup.charges as kept (
        id, account, payment_id, customer_id, status, amount, amount_captured, amount_refunded, currency,
        failure_code, balance_transaction, created_at, event_id, event_created, event_rank
    )
    select
        $10, account, $11, $12, $13, $14, $15,
        least($15, greatest(0, $16 - case when $3 < '2025-03-31' then $14 - $15 else 0 end)),
        $17, $18, $19, $20, event_id, event_created, event_rank
    from event
    on conflict (id) do update set
        payment_id = excluded.payment_id,
        customer_id = excluded.customer_id,
        status = excluded.status,
        amount = excluded.amount,
        amount_captured = excluded.amount_captured,
        amount_refunded = excluded.amount_refunded,
        currency = excluded.currency,
        failure_code = excluded.failure_code,
        balance_transaction = excluded.balance_transaction,
        created_at = excluded.created_at,
        event_id = excluded.event_id,
        event_created = excluded.event_created,
        event_rank = excluded.event_rank,
        needs_refetch = (kept.event_created, kept.event_rank) = (excluded.event_created, excluded.event_rank)
            and kept.event_id <> excluded.event_id
    where (kept.event_created, kept.event_rank) <= (excluded.event_created, excluded.event_rank)
    returning id, amount_refunded, event_created, needs_refetch
)
, tied as (
    select 1 from charge where needs_refetch
    union all
    -- An earlier delivery was cut off before it settled the tie.
    select 1 from recoup.charges where id = $10 and needs_refetch and not exists (select from event)
)
-- Money moves when a charge is captured, once, whichever of its events says so first.
, posted as (
    insert into recoup.ledger_entries
        (source_id, kind, account, debit_account, credit_account, amount, currency, posted_at)
    select $10, 'charge', account, 'stripe_balance', 'sales', $15, $17, $20
    from event
    where $13 = 'succeeded' and $15 > 0
    on conflict (source_id, kind) do nothing
)
