, child as (
    select part.owner as id
    from part
    cross join lateral (
        select count(*) as lines from recoup.order_items as item where item.order_id = part.owner
    ) as kept
    where kept.lines < part.lines or (part.more and kept.lines = part.lines)
    union
    select part.owner
    from part
    cross join lateral jsonb_to_recordset(part.said) as said (
        position integer, price_id text, product_id text, quantity bigint, amount_total bigint
    )
    join recoup.order_items as item on item.order_id = part.owner and item.position = said.position
    where said.price_id <> coalesce(item.price_id, '')
        or said.product_id <> coalesce(item.product_id, '')
        or said.quantity <> item.quantity
        or said.amount_total is distinct from item.amount_total and said.amount_total is not null
)
, sale as (
    select kept.id, kept.customer_id, kept.paid_at, coalesce(expected.payment_id, kept.payment_id) as payment_id
    from expected
    join recoup.orders as kept on kept.id = expected.id
)
-- Where it meets its payment; and what its lines grant.
, derived as (
    select sale.id
    from sale
    where sale.payment_id is not null
        and not exists (
            select from recoup.payment_orders as paid where paid.id = sale.payment_id and paid.order_id = sale.id
        )
    union
    select part.owner
    from part
    join expected on expected.id = part.owner
    where expected.payment_id is null
        and part.billed_as is not null
        and not exists (
            select from recoup.invoice_orders as billed
            where billed.id = part.billed_as and billed.order_id = part.owner
        )
    union
    select sale.id
    from sale
    join recoup.order_items as item on item.order_id = sale.id
    where sale.paid_at is not null
        and case
            when item.grants_kind = 'ticket' then (
                select count(*) from recoup.tickets as ticket
                where ticket.order_id = item.order_id and ticket.position = item.position
            ) < item.quantity * item.grants_quantity
            when item.grants_kind = 'coaching' then (
                select count(*) from recoup.coaching_sessions as coaching
                where coaching.order_id = item.order_id and coaching.position = item.position
            ) < item.quantity * item.grants_quantity
            when item.grants_kind = 'credits' then not exists (
                select from recoup.credit_entries as credit
                where credit.id = 'order:' || item.order_id || ':' || item.position
            )
            when item.grants_kind in ('course', 'path') then exists (
                select from regexp_split_to_table(item.grants_ref, '\s*,\s*') as course
                where not exists (
                    select from recoup.enrollments as enrollment
                    where enrollment.customer_id = sale.customer_id and enrollment.course = course
                )
            )
        end
)
