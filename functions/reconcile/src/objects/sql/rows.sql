-- All rows that hang on any of $1, each as JSON under its table and key.
select 'catalog_items' as of_table, id as key, to_jsonb(kept) as content
from recoup.catalog_items as kept where id = any ($1)
union all
select 'charges', id, to_jsonb(kept) from recoup.charges as kept where id = any ($1)
union all
select 'coaching_sessions', concat_ws(',', order_id, position, session), to_jsonb(kept)
from recoup.coaching_sessions as kept where order_id = any ($1)
union all
select 'connected_accounts', id, to_jsonb(kept) from recoup.connected_accounts as kept where id = any ($1)
union all
select 'credit_entries', kept.id, to_jsonb(kept)
from unnest($1::text[]) as given (id)
join recoup.credit_entries as kept on kept.order_id = given.id
union all
select 'customers', id, to_jsonb(kept) from recoup.customers as kept where id = any ($1)
union all
select 'disputes', id, to_jsonb(kept) from recoup.disputes as kept where id = any ($1)
union all
select 'enrollments', concat_ws(',', customer_id, course), to_jsonb(kept)
from recoup.enrollments as kept where customer_id = any ($1)
union all
select 'invoice_lines', concat_ws(',', invoice_id, position), to_jsonb(kept)
from recoup.invoice_lines as kept where invoice_id = any ($1)
union all
select 'invoice_orders', id, to_jsonb(kept) from recoup.invoice_orders as kept where id = any ($1)
union all
select 'invoice_payments', id, to_jsonb(kept) from recoup.invoice_payments as kept where id = any ($1)
union all
select 'invoices', id, to_jsonb(kept) from recoup.invoices as kept where id = any ($1)
union all
select 'ledger_entries', concat_ws(',', source_id, kind), to_jsonb(kept)
from recoup.ledger_entries as kept where source_id = any ($1)
union all
select 'order_items', concat_ws(',', order_id, position), to_jsonb(kept)
from recoup.order_items as kept where order_id = any ($1)
union all
select 'orders', id, to_jsonb(kept) from recoup.orders as kept where id = any ($1)
union all
select 'payment_orders', id, to_jsonb(kept) from recoup.payment_orders as kept where id = any ($1)
union all
select 'payments', id, to_jsonb(kept) from recoup.payments as kept where id = any ($1)
union all
select 'payouts', id, to_jsonb(kept) from recoup.payouts as kept where id = any ($1)
union all
-- Those of its charge that did not know its payment.
select 'refunds', id, to_jsonb(kept) from recoup.refunds as kept
where id = any ($1) or charge_id = any ($1)
union all
select 'subscription_items', concat_ws(',', subscription_id, id), to_jsonb(kept)
from recoup.subscription_items as kept where subscription_id = any ($1)
union all
select 'subscriptions', id, to_jsonb(kept) from recoup.subscriptions as kept where id = any ($1)
union all
select 'tickets', concat_ws(',', order_id, position, seat), to_jsonb(kept)
from recoup.tickets as kept where order_id = any ($1)
