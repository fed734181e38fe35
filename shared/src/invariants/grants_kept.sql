-- What was given back whole grants nothing any more. A course stays where another order grants it: then the enrollment
-- names that order.
select granted.object, granted.id
from (
    select 'enrollments' as object, customer_id || ' ' || course as id, order_id, revoked_at from recoup.enrollments
    union all
    select 'tickets', order_id || ' line ' || position || ' seat ' || seat, order_id, revoked_at from recoup.tickets
    union all
    select 'coaching_sessions', order_id || ' line ' || position || ' session ' || session, order_id, revoked_at
    from recoup.coaching_sessions
    union all
    select 'credit_entries', id, order_id, revoked_at from recoup.credit_entries
) as granted
join recoup.orders as bought on bought.id = granted.order_id
join recoup.payments as payment on payment.id = bought.payment_id
where granted.revoked_at is null
    and payment.amount_returned > 0
    and payment.amount_returned >= bought.amount_total
    and payment.returned_at < $1
