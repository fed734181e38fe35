-- What an order cost is what its lines cost. Stripe's lines are after discounts and with tax, and shipping is no line:
-- it stands in the session, so that it is looked up for the few orders whose lines are less than the total. Lines that
-- the seller put into the session's metadata (they have no line_item_id) may as well be before discounts and tax.
select 'orders' as object, bought.id
from recoup.orders as bought
join (
    select
        order_id,
        sum(amount_total)             as amount,
        bool_and(line_item_id is null) as from_metadata
    from recoup.order_items
    group by order_id
    having count(*) = count(amount_total)
) as lines on lines.order_id = bought.id
left join lateral (
    select (event.payload::json #>> '{data,object,total_details,amount_shipping}')::bigint as amount
    from recoup.webhook_events as event
    where event.id = bought.event_id and lines.amount < bought.amount_total
) as shipping on true
where bought.status in ('pending', 'paid')
    and bought.amount_total is not null
    and bought.event_created < $1
    and lines.amount + coalesce(shipping.amount, 0) <> bought.amount_total
    and not (lines.from_metadata and lines.amount is not distinct from bought.amount_subtotal)
