-- What goes back to the buyer takes back what was granted. Expects `paid_for`: at most one row, of order_id, and
-- amount_returned and returned_at of its payment.
--
-- Refunds and lost disputes that together make the whole order take back all that it granted; a part of it takes
-- back nothing. A refund that fails and a dispute that is won give everything back.
, sale as (
    select
        orders.id as order_id,
        orders.customer_id,
        orders.paid_at,
        case when paid_for.amount_returned > 0 and paid_for.amount_returned >= orders.amount_total
            then paid_for.returned_at
        end as revoked_at
    from paid_for
    join recoup.orders on orders.id = paid_for.order_id
)
, ticket as (
    update recoup.tickets set revoked_at = (select revoked_at from sale)
    where order_id = (select order_id from sale) and revoked_at is distinct from (select revoked_at from sale)
)
, coaching as (
    update recoup.coaching_sessions set revoked_at = (select revoked_at from sale)
    where order_id = (select order_id from sale) and revoked_at is distinct from (select revoked_at from sale)
)
, credit as (
    update recoup.credit_entries set revoked_at = (select revoked_at from sale)
    where order_id = (select order_id from sale) and revoked_at is distinct from (select revoked_at from sale)
)
-- A course may have been bought twice: the enrollment stays with the best order that is left.
, course as (
    select distinct sale.customer_id, course
    from sale
    join recoup.order_items as item
        on item.order_id = (select order_id from sale) and item.grants_kind in ('course', 'path')
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
    join recoup.orders on orders.customer_id = (select customer_id from sale) and orders.paid_at is not null
    -- "offset" keeps the planner from beginning with the items of all orders.
    cross join lateral (
        select order_items.order_id, order_items.position, order_items.grants_ref
        from recoup.order_items
        where order_items.order_id = orders.id and order_items.grants_kind in ('course', 'path')
        offset 0
    ) as item
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
