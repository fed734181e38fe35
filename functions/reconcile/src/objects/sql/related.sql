-- Whatever an object can touch hangs on what it names ($1): payments with what came and went of them, the sales that they
-- paid, and who bought.
-- $2 for a product or price: the sales whose lines wait for it.
with given as (
    select unnest($1::text[]) as id
)
, payment as (
    select id from given
    union select charges.payment_id from given join recoup.charges on charges.id = given.id
    union select refunds.payment_id from given join recoup.refunds on refunds.id = given.id
    union select disputes.payment_id from given join recoup.disputes on disputes.id = given.id
    union select orders.payment_id from given join recoup.orders on orders.id = given.id
    union select billed.payment_id from given join recoup.invoice_orders as billed on billed.id = given.id
)
, sale as (
    select id from given
    union select paid.order_id from payment join recoup.payment_orders as paid on paid.id = payment.id
    union select orders.id from payment join recoup.orders on orders.payment_id = payment.id
    union select billed.order_id from given join recoup.invoice_orders as billed on billed.id = given.id
    union (
        select item.order_id from recoup.order_items as item
        where item.grants_kind is null and $2 in (item.price_id, item.product_id)
    )
)
select array_agg(distinct related.id) as ids
from (
    select id from payment
    union all
    select charges.id from payment join recoup.charges on charges.payment_id = payment.id
    union all
    select refunds.id from payment join recoup.refunds on refunds.payment_id = payment.id
    union all
    select disputes.id from payment join recoup.disputes on disputes.payment_id = payment.id
    union all
    select id from sale
    union all
    select orders.customer_id from sale join recoup.orders on orders.id = sale.id
    union all
    select orders.payment_id from sale join recoup.orders on orders.id = sale.id
) as related
where related.id is not null
