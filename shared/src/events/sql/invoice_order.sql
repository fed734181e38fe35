-- The payment of an invoice pays the checkout session that the invoice bills. Expects `billed`: id and payment_id of
-- what `invoice_orders` knows an invoice by. Gives `paid_for` where the session is known, with what went back of the
-- payment before anyone knew what it had paid for.
, meeting as (
    insert into recoup.invoice_orders as kept (id, account, payment_id)
    select billed.id, event.account, billed.payment_id
    from event
    cross join billed
    on conflict (id) do update set payment_id = excluded.payment_id
    returning order_id, payment_id
)
, payment_order as (
    insert into recoup.payment_orders as kept (id, account, order_id)
    select meeting.payment_id, event.account, meeting.order_id
    from event
    cross join meeting
    where meeting.order_id is not null
    limit 1
    on conflict (id) do update set order_id = excluded.order_id
    returning id, order_id
)
, paid_order as (
    update recoup.orders set payment_id = payment_order.id
    from payment_order
    where orders.id = payment_order.order_id and orders.payment_id is distinct from payment_order.id
)
, paid_for as (
    select payment_order.order_id, payments.amount_returned, payments.returned_at
    from payment_order
    join recoup.payments on payments.id = payment_order.id
)
