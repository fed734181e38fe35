create temporary table sales on commit drop as
select
    sale,
    'cus_1' || lpad(to_hex(sale), 8, '0') || substr(md5(sale || 'customer'), 1, 10) as customer_id,
    'pi_1' || lpad(to_hex(sale), 8, '0') || substr(md5(sale || 'payment'), 1, 15)   as payment_id,
    'ch_1' || lpad(to_hex(sale), 8, '0') || substr(md5(sale || 'charge'), 1, 15)    as charge_id,
    'cs_1' || lpad(to_hex(sale), 8, '0') || md5(sale || 'session')                  as order_id,
    'evt_1' || lpad(to_hex(sale), 8, '0') || '0' || substr(md5(sale::text), 1, 14)  as event_id,
    timestamptz '2020-01-01 00:00+00' + sale * interval '17 seconds'                as at,
    500 + hashint8(sale) % 20 * 100 + 4000                                          as amount
from generate_series(:first, :last) as sale;
insert into recoup.customers (id, email, name, created_at, event_id, event_created, event_rank)
select
    customer_id, substr(md5(sale || 'mail'), 1, 9) || '@example.com', 'Customer ' || substr(md5(sale || 'name'), 1, 8),
    at, event_id, at, 0
from sales;
insert into recoup.payments
    (id, customer_id, status, amount, amount_received, currency, created_at, event_id, event_created, event_rank)
select payment_id, customer_id, 'succeeded', amount, amount, 'eur', at, event_id, at, 5
from sales;
insert into recoup.payment_orders (id, order_id)
select payment_id, order_id from sales;
insert into recoup.charges (
    id, payment_id, customer_id, status, amount, amount_captured, amount_refunded, currency, balance_transaction,
    created_at, event_id, event_created, event_rank
)
select
    charge_id, payment_id, customer_id, 'succeeded', amount, amount, 0, 'eur', 'txn_1' || substr(md5(charge_id), 1, 23),
    at, event_id, at, 3
from sales;
insert into recoup.orders (
    id, customer_id, payment_id, status, mode, currency, amount_subtotal, amount_total, created_at, paid_at,
    event_id, event_created, event_rank
)
select
    order_id, customer_id, payment_id, 'paid', 'payment', 'eur', amount, amount, at, at, event_id, at, 3
from sales;
insert into recoup.order_items
    (order_id, position, description, quantity, amount_total, currency, grants_kind, grants_ref, grants_quantity)
select order_id, line, 'Line ' || line, 1, amount / 2, 'eur', kind, ref, 1
from sales
cross join (values (1, 'course', 'rust-101'), (2, 'credits', 'reviews')) as line (line, kind, ref);
insert into recoup.enrollments (customer_id, course, order_id, position, granted_at)
select customer_id, 'rust-101', order_id, 1, at from sales;
insert into recoup.credit_entries (id, customer_id, amount, reason, order_id, position, granted_at)
select 'order:' || order_id || ':2', customer_id, 10, 'bought: reviews', order_id, 2, at from sales;
insert into recoup.ledger_entries (source_id, kind, debit_account, credit_account, amount, currency, posted_at)
select charge_id, 'charge', 'stripe_balance', 'sales', amount, 'eur', at from sales;
insert into public.activity (customer_id, session, at, action, amount, details)
select
    customer_id, md5(sale || 'visit' || step)::uuid, at + step * interval '3 seconds',
    (array['view', 'search', 'add to basket', 'pay'])[1 + step % 4],
    case when step % 4 = 2 then amount / 100.0 end,
    case when step % 4 = 0 then jsonb_build_object('page', '/courses/' || step, 'agent', substr(md5(sale || ''), 1, 12)) end
from sales
cross join generate_series(1, 8) as step;
