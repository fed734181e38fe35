-- Before 2022-11-15 a charge brings its refunds, and no event of theirs says that they were made. Of two charges
-- in one second it does not matter which comes first: how far each refund had come is its rank.
, refund as (
    insert into recoup.refunds as kept (
        id, account, charge_id, payment_id, status, amount, currency, reason, failure_reason, created_at,
        moves_money, event_id, event_created, event_rank
    )
    select
        shown.id, account, $10, $11, shown.status, shown.amount, $17, shown.reason, shown.failure_reason,
        shown.created_at, shown.moves_money, event_id, event_created, shown.rank
    from event
    cross join unnest(
        $21::text[], $22::text[], $23::bigint[], $24::text[], $25::text[], $26::timestamptz[], $27::boolean[],
        $28::bigint[]
    ) as shown (id, status, amount, reason, failure_reason, created_at, moves_money, rank)
    on conflict (id) do update set
        payment_id = coalesce(excluded.payment_id, kept.payment_id),
        status = excluded.status,
        amount = excluded.amount,
        reason = excluded.reason,
        failure_reason = excluded.failure_reason,
        moves_money = excluded.moves_money,
        event_id = excluded.event_id,
        event_created = excluded.event_created,
        event_rank = excluded.event_rank,
        needs_refetch = false
    where (kept.event_created, kept.event_rank, kept.event_id)
        < (excluded.event_created, excluded.event_rank, excluded.event_id)
    returning id, charge_id, status, amount, created_at, moves_money, event_created
)
-- Refunds that came before their charge, and did not know its payment.
, joined as (
    update recoup.refunds set payment_id = $11
    from event
    where refunds.charge_id = $10
        and refunds.payment_id is null
        and $11::text is not null
        and refunds.id not in (select id from refund)
)
, refund_now as (
    select id, charge_id, status, amount, created_at, moves_money, event_created from refund
    union all
    select
        other.id, other.charge_id, other.status, other.amount, other.created_at, other.moves_money,
        other.event_created
    from event
    join recoup.refunds as other on other.payment_id = $11 or (other.payment_id is null and other.charge_id = $10)
    where other.id not in (select id from refund)
)
, charge_now as (
    select id, amount_refunded, event_created from charge
    union all
    select other.id, other.amount_refunded, other.event_created
    from event
    join recoup.charges as other on other.payment_id = $11
    where other.id not in (select id from charge)
)
-- Most charges are never refunded, and then the payment's row stays as it is.
, refunded_payment as (
    select $11::text as id, account
    from event
    where $11::text is not null
        and (
            exists (select from refund_now)
            or exists (select from charge_now where amount_refunded > 0)
            or exists (select from recoup.charges where id = $10 and amount_refunded > 0)
        )
)
, posted_refund as (
    insert into recoup.ledger_entries
        (source_id, kind, account, debit_account, credit_account, amount, currency, posted_at)
    select
        shown.id, movement.kind, account, movement.debit_account, movement.credit_account, shown.amount, $17,
        shown.created_at
    from event
    cross join unnest($21::text[], $22::text[], $23::bigint[], $26::timestamptz[], $27::boolean[])
        as shown (id, status, amount, created_at, moves_money)
    cross join (
        values
            ('refund', 'refunds', 'stripe_balance'),
            ('refund_failure', 'stripe_balance', 'refunds')
    ) as movement (kind, debit_account, credit_account)
    where shown.amount > 0
        and shown.moves_money
        and (movement.kind = 'refund' or shown.status in ('failed', 'canceled'))
    on conflict (source_id, kind) do nothing
)
