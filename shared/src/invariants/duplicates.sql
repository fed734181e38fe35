-- What is once is once: an order a payment, a charge that succeeded a payment, an enrollment a customer and course, an
-- entry of credits a line.
select 'payments' as object, payment_id as id
from recoup.orders
where payment_id is not null
group by payment_id
having count(*) > 1
union all
select 'payments', payment_id
from recoup.charges
where payment_id is not null and status = 'succeeded' and amount_captured > 0
group by payment_id
having count(*) > 1
union all
select 'enrollments', customer_id || ' ' || course
from recoup.enrollments
where revoked_at is null
group by customer_id, course
having count(*) > 1
union all
select 'credit_entries', order_id || ' line ' || position
from recoup.credit_entries
where order_id is not null and revoked_at is null
group by order_id, position
having count(*) > 1
