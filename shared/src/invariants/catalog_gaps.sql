-- Each line of a paid order maps to something in the catalogue, and each paid order has lines.
select 'order_items' as object, item.order_id || ' line ' || item.position as id
from recoup.order_items as item
join recoup.orders as bought on bought.id = item.order_id
where item.grants_kind is null and bought.paid_at is not null and bought.event_created < $1
union all
select 'orders', bought.id
from recoup.orders as bought
where bought.paid_at is not null
    and bought.event_created < $1
    and not exists (select from recoup.order_items as item where item.order_id = bought.id)
