-- Rows that name a row which is not there. Most are kept apart by foreign keys; those are checked all the same, for a
-- key that somebody dropped protects nothing.
select 'order_items' as object, order_id || ' line ' || position as id
from recoup.order_items as item
where not exists (select from recoup.orders where orders.id = item.order_id)
union all
select 'payment_orders', paid.id
from recoup.payment_orders as paid
where paid.order_id is not null
    and not exists (select from recoup.orders where orders.id = paid.order_id)
union all
select 'orders', bought.id
from recoup.orders as bought
where bought.customer_id is not null
    and not exists (select from recoup.customers where customers.id = bought.customer_id)
-- Stripe sends the events of a sale in any order.
union all
select 'orders', bought.id
from recoup.orders as bought
where bought.payment_id is not null
    and bought.event_created < $1
    and not exists (select from recoup.payments where payments.id = bought.payment_id)
union all
select 'charges', charge.id
from recoup.charges as charge
where charge.payment_id is not null
    and charge.event_created < $1
    and not exists (select from recoup.payments where payments.id = charge.payment_id)
union all
select 'refunds', refund.id
from recoup.refunds as refund
where refund.payment_id is not null
    and not exists (select from recoup.payments where payments.id = refund.payment_id)
union all
select granted.object, granted.id
from (
    select 'enrollments' as object, customer_id || ' ' || course as id, order_id, position from recoup.enrollments
    union all
    select 'tickets', order_id || ' line ' || position || ' seat ' || seat, order_id, position from recoup.tickets
    union all
    select 'coaching_sessions', order_id || ' line ' || position || ' session ' || session, order_id, position
    from recoup.coaching_sessions
    union all
    select 'credit_entries', id, order_id, position from recoup.credit_entries
) as granted
where granted.order_id is not null
    and not exists (
        select from recoup.order_items as item
        where item.order_id = granted.order_id and item.position = granted.position
    )
union all
select 'invoice_lines', line.invoice_id || ' line ' || line.position
from recoup.invoice_lines as line
where not exists (select from recoup.invoices where invoices.id = line.invoice_id)
union all
select 'subscription_items', item.id
from recoup.subscription_items as item
where not exists (select from recoup.subscriptions where subscriptions.id = item.subscription_id)
-- A movement of money and the object that moved it are written by one statement.
union all
select 'ledger_entries', entry.source_id || ' ' || entry.kind
from recoup.ledger_entries as entry
where (entry.kind = 'charge' and not exists (select from recoup.charges where charges.id = entry.source_id))
    or (
        entry.kind in ('refund', 'refund_failure')
        and not exists (select from recoup.refunds where refunds.id = entry.source_id)
    )
    or (
        entry.kind in ('payout', 'payout_failure')
        and not exists (select from recoup.payouts where payouts.id = entry.source_id)
    )
