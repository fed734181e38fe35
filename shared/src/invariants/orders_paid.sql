-- A paid order has its payment, and that payment succeeded and names the order. What cost nothing needs none, and a
-- subscription is paid by its invoices.
select 'orders' as object, bought.id
from recoup.orders as bought
left join recoup.payments as payment on payment.id = bought.payment_id
left join recoup.payment_orders as paid on paid.id = bought.payment_id
where bought.status = 'paid'
    and bought.mode = 'payment'
    and bought.amount_total > 0
    and bought.event_created < $1
    and (payment.status is distinct from 'succeeded' or paid.order_id is distinct from bought.id)
