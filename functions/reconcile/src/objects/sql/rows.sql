-- All rows that hang on any of $1, each as JSON under its table and key, with the object of Stripe's whose row or part it is.
select 'catalog_items' as of_table, id as key, object, id as owner, to_jsonb(kept) as content
from recoup.catalog_items as kept where id = any ($1)
union all
select 'charges', id, 'charge', id, to_jsonb(kept) from recoup.charges as kept where id = any ($1)
union all
select 'coaching_sessions', concat_ws(',', order_id, position, session), 'checkout.session', order_id, to_jsonb(kept)
from recoup.coaching_sessions as kept where order_id = any ($1)
union all
select 'connected_accounts', id, 'account', id, to_jsonb(kept)
from recoup.connected_accounts as kept where id = any ($1)
union all
select 'credit_entries', kept.id, 'checkout.session', kept.order_id, to_jsonb(kept)
from unnest($1::text[]) as given (id)
join recoup.credit_entries as kept on kept.order_id = given.id
union all
select 'customers', id, 'customer', id, to_jsonb(kept) from recoup.customers as kept where id = any ($1)
union all
select 'disputes', id, 'dispute', id, to_jsonb(kept) from recoup.disputes as kept where id = any ($1)
union all
-- By the order that grants it: one that no order grants any more is the customer's.
select
    'enrollments',
    concat_ws(',', customer_id, course),
    case when order_id is null then 'customer' else 'checkout.session' end,
    coalesce(order_id, customer_id),
    to_jsonb(kept)
from recoup.enrollments as kept where customer_id = any ($1)
union all
select 'invoice_lines', concat_ws(',', invoice_id, position), 'invoice', invoice_id, to_jsonb(kept)
from recoup.invoice_lines as kept where invoice_id = any ($1)
union all
select 'invoice_orders', id, 'invoice', id, to_jsonb(kept) from recoup.invoice_orders as kept where id = any ($1)
union all
select 'invoice_payments', id, 'invoice_payment', id, to_jsonb(kept)
from recoup.invoice_payments as kept where id = any ($1)
union all
select 'invoices', id, 'invoice', id, to_jsonb(kept) from recoup.invoices as kept where id = any ($1)
union all
select
    'ledger_entries',
    concat_ws(',', source_id, kind),
    case
        when kind like 'refund%' then 'refund'
        when kind like 'dispute%' then 'dispute'
        when kind like 'payout%' then 'payout'
        else 'charge'
    end,
    source_id,
    to_jsonb(kept)
from recoup.ledger_entries as kept where source_id = any ($1)
union all
select 'order_items', concat_ws(',', order_id, position), 'checkout.session', order_id, to_jsonb(kept)
from recoup.order_items as kept where order_id = any ($1)
union all
select 'orders', id, 'checkout.session', id, to_jsonb(kept) from recoup.orders as kept where id = any ($1)
union all
select 'payment_orders', id, 'payment_intent', id, to_jsonb(kept)
from recoup.payment_orders as kept where id = any ($1)
union all
select 'payments', id, 'payment_intent', id, to_jsonb(kept) from recoup.payments as kept where id = any ($1)
union all
select 'payouts', id, 'payout', id, to_jsonb(kept) from recoup.payouts as kept where id = any ($1)
union all
-- Those of its charge that did not know its payment.
select 'refunds', id, 'refund', id, to_jsonb(kept) from recoup.refunds as kept
where id = any ($1) or charge_id = any ($1)
union all
select 'subscription_items', concat_ws(',', subscription_id, id), 'subscription', subscription_id, to_jsonb(kept)
from recoup.subscription_items as kept where subscription_id = any ($1)
union all
select 'subscriptions', id, 'subscription', id, to_jsonb(kept)
from recoup.subscriptions as kept where id = any ($1)
union all
select 'tickets', concat_ws(',', order_id, position, seat), 'checkout.session', order_id, to_jsonb(kept)
from recoup.tickets as kept where order_id = any ($1)
