-- Of seats, sessions and credits a line has as many as were bought: units times what the catalogue says of one. A line
-- that has none at all is among grants_missing.
select 'order_items' as object, item.order_id || ' line ' || item.position as id
from recoup.orders as bought
join recoup.order_items as item on item.order_id = bought.id
cross join lateral (
    select case item.grants_kind
        when 'ticket' then (
            select nullif(count(*), 0) from recoup.tickets as ticket
            where ticket.order_id = item.order_id and ticket.position = item.position
        )
        when 'coaching' then (
            select nullif(count(*), 0) from recoup.coaching_sessions as coaching
            where coaching.order_id = item.order_id and coaching.position = item.position
        )
        when 'credits' then (
            select max(credit.amount) from recoup.credit_entries as credit
            where credit.order_id = item.order_id and credit.position = item.position
        )
    end as quantity
) as granted
where bought.paid_at is not null
    and bought.event_created < $1
    and granted.quantity <> item.quantity * item.grants_quantity
