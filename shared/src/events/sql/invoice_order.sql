-- The payment of an invoice pays the checkout session that the invoice bills. Expects `billed`: id and payment_id of
-- what `invoice_orders` knows an invoice by. Gives `payment` where the session is known, with what went back of it
-- before anyone knew what it had paid for.
, meeting as (
    insert into recoup.invoice_orders as kept (id, account, payment_id)
    select billed.id, event.account, billed.payment_id
    from event
    cross join billed
    on conflict (id) do update set payment_id = excluded.payment_id
    returning order_id, payment_id
)
, payment as (
    insert into recoup.payments as kept (id, account, order_id)
    select meeting.payment_id, event.account, meeting.order_id
    from event
    cross join meeting
    where meeting.order_id is not null
    limit 1
    on conflict (id) do update set order_id = excluded.order_id
    returning id, order_id, amount_returned, returned_at
)
, paid_order as (
    update recoup.orders set payment_id = payment.id
    from payment
    where orders.id = payment.order_id and orders.payment_id is distinct from payment.id
)
