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
    returning id, amount_refunded, refunded_at
)
-- A refund of the whole order takes back all that it granted; a part of it takes back nothing. A refund that
-- fails gives everything back.
, sale as (
    select
        orders.id as order_id,
        orders.customer_id,
        orders.paid_at,
        case when payment.amount_refunded > 0 and payment.amount_refunded >= orders.amount_total
            then payment.refunded_at
        end as revoked_at
    from payment
    join recoup.orders on orders.payment_id = payment.id
)
, ticket as (
    update recoup.tickets set revoked_at = sale.revoked_at
    from sale
    where tickets.order_id = sale.order_id and tickets.revoked_at is distinct from sale.revoked_at
)
, credit as (
    update recoup.credit_entries set revoked_at = sale.revoked_at
    from sale
    where credit_entries.order_id = sale.order_id and credit_entries.revoked_at is distinct from sale.revoked_at
)
-- A course may have been bought twice: the enrollment stays with the best order that is left.
, course as (
    select distinct sale.customer_id, course
    from sale
    join recoup.order_items as item on item.order_id = sale.order_id and item.grants_kind in ('course', 'path')
    cross join lateral regexp_split_to_table(item.grants_ref, '\s*,\s*') as course
    where sale.paid_at is not null
)
, candidate as (
    select
        course.customer_id,
        course.course,
        item.order_id,
        item.position,
        orders.paid_at,
        case
            when orders.id = sale.order_id then sale.revoked_at
            when paid.amount_refunded > 0 and paid.amount_refunded >= orders.amount_total then paid.refunded_at
        end as revoked_at
    from course
    join recoup.orders on orders.customer_id = course.customer_id and orders.paid_at is not null
    join recoup.order_items as item on item.order_id = orders.id and item.grants_kind in ('course', 'path')
    left join recoup.payments as paid on paid.id = orders.payment_id
    left join sale on sale.order_id = orders.id
    where course.course = any (regexp_split_to_array(item.grants_ref, '\s*,\s*'))
)
, best as (
    select distinct on (customer_id, course) *
    from candidate
    order by customer_id, course, revoked_at is not null, paid_at, order_id, position
)
, enrollment as (
    update recoup.enrollments set
        order_id = best.order_id,
        position = best.position,
        granted_at = best.paid_at,
        revoked_at = best.revoked_at
    from best
    where enrollments.customer_id = best.customer_id and enrollments.course = best.course
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
    where $14 > 0 and (movement.kind = 'refund' or $13 in ('failed', 'canceled'))
    on conflict (source_id, kind) do nothing
)
