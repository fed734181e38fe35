, refund as (
    insert into recoup.refunds as kept (
        id, account, charge_id, payment_id, status, amount, currency, reason, failure_reason, created_at,
        event_id, event_created, event_rank
    )
    select
        $10, account, $11, coalesce($12, (select payment_id from recoup.charges where id = $11)), $13, $14, $15, $16,
        $17, $18, event_id, event_created, event_rank
    from event
    on conflict (id) do update set
        payment_id = coalesce(excluded.payment_id, kept.payment_id),
        status = excluded.status,
        amount = excluded.amount,
        reason = excluded.reason,
        failure_reason = excluded.failure_reason,
        event_id = excluded.event_id,
        event_created = excluded.event_created,
        event_rank = excluded.event_rank
    where (kept.event_created, kept.event_rank, kept.event_id)
        < (excluded.event_created, excluded.event_rank, excluded.event_id)
    returning id, account, payment_id, status, amount, created_at
)
-- All refunds of the payment that count: this one as it is now, the others as they are kept.
, counted as (
    select payment_id, amount, created_at from refund where status not in ('failed', 'canceled')
    union all
    select other.payment_id, other.amount, other.created_at
    from refund
    join recoup.refunds as other on other.payment_id = refund.payment_id and other.id <> refund.id
    where other.status not in ('failed', 'canceled')
)
, payment as (
    insert into recoup.payments as kept (id, account, amount_refunded, refunded_at)
    select
        refund.payment_id, refund.account, coalesce(sum(counted.amount), 0), max(counted.created_at)
    from refund
    left join counted on counted.payment_id = refund.payment_id
    where refund.payment_id is not null
    group by refund.payment_id, refund.account
    on conflict (id) do update set
        amount_refunded = excluded.amount_refunded,
        refunded_at = excluded.refunded_at
    returning id, amount_returned, returned_at
)
