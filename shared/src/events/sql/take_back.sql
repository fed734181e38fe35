-- What was given back of a payment, and what that takes back from its buyer. Expects `refunded_payment` (id,
-- account), `refund_now` (id, charge_id, status, amount, created_at, moves_money, event_created) and `charge_now`
-- (id, amount_refunded, event_created): all refunds and charges of the payment as they are with this event.
--
-- Between 2022-11-15 and 2024-10-28 no event shows a refund that was made, only its charge's sum does. So what
-- counts is the larger of the refunds that are known and what the charges say. A charge is not told that a
-- refund failed: what it said before the failure is less by that refund.
, given_back as (
    select
        refunded_payment.id,
        refunded_payment.account,
        greatest(known.amount, said.amount)::bigint as amount,
        case
            when known.amount >= said.amount then known.made_at
            else greatest(known.made_at, said.made_at)
        end as made_at
    from refunded_payment
    cross join (
        select coalesce(sum(amount), 0) as amount, max(created_at) as made_at
        from refund_now
        where moves_money and status not in ('failed', 'canceled')
    ) as known
    cross join (
        select coalesce(sum(charge.amount), 0) as amount, max(charge.event_created) as made_at
        from (
            select
                charge_now.event_created,
                charge_now.amount_refunded - coalesce(
                    (
                        select sum(refund_now.amount)
                        from refund_now
                        where refund_now.charge_id = charge_now.id
                            and refund_now.status in ('failed', 'canceled')
                            and refund_now.event_created >= charge_now.event_created
                    ), 0
                ) as amount
            from charge_now
        ) as charge
        where charge.amount > 0
    ) as said
)
, payment as (
    insert into recoup.payments as kept (id, account, amount_refunded, refunded_at)
    select id, account, amount, made_at from given_back
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
