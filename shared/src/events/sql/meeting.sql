-- What the payment paid for, where that is known. The row is written either way, so that the sale, if it is written at
-- the same moment, cannot miss what went back. Expects `payment` (id, account, amount_returned, returned_at).
, meeting as (
    insert into recoup.payment_orders as kept (id, account)
    select id, account from payment
    on conflict (id) do update set id = excluded.id
    returning id, order_id
)
, paid_for as (
    select meeting.order_id, payment.amount_returned, payment.returned_at
    from payment
    join meeting on meeting.id = payment.id
    where meeting.order_id is not null
)
