-- What goes back to the buyer takes back what was granted. Expects `payment`: order_id (what it paid for, where that
-- is known), amount_returned and returned_at.
--
-- Refunds and lost disputes that together make the whole order take back all that it granted; a part of it takes
-- back nothing. A refund that fails and a dispute that is won give everything back.
, sale as (
    select
        orders.id as order_id,
        orders.customer_id,
        orders.paid_at,
        case when payment.amount_returned > 0 and payment.amount_returned >= orders.amount_total
            then payment.returned_at
        end as revoked_at
    from payment
    join recoup.orders on orders.id = payment.order_id
)
, ticket as (
    update recoup.tickets set revoked_at = sale.revoked_at
    from sale
    where tickets.order_id = sale.order_id and tickets.revoked_at is distinct from sale.revoked_at
)
, coaching as (
    update recoup.coaching_sessions set revoked_at = sale.revoked_at
    from sale
    where coaching_sessions.order_id = sale.order_id
        and coaching_sessions.revoked_at is distinct from sale.revoked_at
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
            when paid.amount_returned > 0 and paid.amount_returned >= orders.amount_total then paid.returned_at
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
