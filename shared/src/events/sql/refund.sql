-- A refund of an old API version names its charge alone: the payment is the charge's.
, refund as (
    insert into recoup.refunds as kept (
        id, account, charge_id, payment_id, status, amount, currency, reason, failure_reason, created_at,
        moves_money, event_id, event_created, event_rank
    )
    select
        $10, account, $11, coalesce($12, (select payment_id from recoup.charges where id = $11)), $13, $14, $15, $16,
        $17, $18,
        -- What was authorized and never captured has no balance transaction, and was a "refund" until 2025-03-31.
        $19::text is not null or $13 <> 'succeeded' or coalesce($3, '2025-03-31') >= '2025-03-31',
        event_id, event_created, event_rank
    from event
    on conflict (id) do update set
        charge_id = coalesce(excluded.charge_id, kept.charge_id),
        payment_id = coalesce(excluded.payment_id, kept.payment_id),
        status = excluded.status,
        amount = excluded.amount,
        currency = excluded.currency,
        reason = excluded.reason,
        failure_reason = excluded.failure_reason,
        created_at = excluded.created_at,
        moves_money = excluded.moves_money,
        event_id = excluded.event_id,
        event_created = excluded.event_created,
        event_rank = excluded.event_rank,
        needs_refetch = (kept.event_created, kept.event_rank) = (excluded.event_created, excluded.event_rank)
            and kept.event_id <> excluded.event_id
    where (kept.event_created, kept.event_rank) <= (excluded.event_created, excluded.event_rank)
    returning
        id, account, charge_id, payment_id, status, amount, created_at, moves_money, event_created, needs_refetch
)
, tied as (
    select 1 from refund where needs_refetch
    union all
    -- An earlier delivery was cut off before it settled the tie.
    select 1 from recoup.refunds where id = $10 and needs_refetch and not exists (select from event)
)
, refunded_payment as (
    select payment_id as id, account from refund where payment_id is not null
)
-- This refund as it is now, the payment's others as they are kept; and its charges.
, refund_now as (
    select id, charge_id, status, amount, created_at, moves_money, event_created from refund
    union all
    select
        other.id, other.charge_id, other.status, other.amount, other.created_at, other.moves_money,
        other.event_created
    from refund
    join recoup.refunds as other on other.payment_id = refund.payment_id and other.id <> refund.id
)
, charge_now as (
    select charges.id, charges.amount_refunded, charges.event_created
    from refunded_payment
    join recoup.charges on charges.payment_id = refunded_payment.id
)
-- The money leaves when the refund is made and comes back when it fails: both are written, whatever order
-- Stripe's events arrive in.
, posted as (
    insert into recoup.ledger_entries
        (source_id, kind, account, debit_account, credit_account, amount, currency, posted_at)
    select $10, movement.kind, account, movement.debit_account, movement.credit_account, $14, $15, $18
    from event
    cross join (
        values
            ('refund', 'refunds', 'stripe_balance'),
            ('refund_failure', 'stripe_balance', 'refunds')
    ) as movement (kind, debit_account, credit_account)
    where $14 > 0
        and ($19::text is not null or $13 <> 'succeeded' or coalesce($3, '2025-03-31') >= '2025-03-31')
        and (movement.kind = 'refund' or $13 in ('failed', 'canceled'))
    on conflict (source_id, kind) do nothing
)
