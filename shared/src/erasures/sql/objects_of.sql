-- Every object that is of these customers, and whose: theirs by name, or by the order or the invoice that it paid.
with person as (
    select unnest($1::text[]) as id
),
bought as (
    select person.id as customer, orders.id, orders.payment_id
    from recoup.orders join person on person.id = orders.customer_id
),
invoiced as (
    select person.id as customer, invoices.id, invoices.payment_id
    from recoup.invoices join person on person.id = invoices.customer_id
),
invoice_paid as (
    select customer, paid.id, paid.payment_id, paid.charge_id
    from recoup.invoice_payments as paid join invoiced on invoiced.id = paid.invoice_id
),
paid as (
    select person.id as customer, payments.id
    from recoup.payments join person on person.id = payments.customer_id
    union
    select customer, payment_id from bought
    union
    select customer, payment_id from invoiced
    union
    select customer, payment_id from invoice_paid
    union
    select customer, payment_orders.id
    from recoup.payment_orders join bought on bought.id = payment_orders.order_id
),
charged as (
    select person.id as customer, charges.id
    from recoup.charges join person on person.id = charges.customer_id
    union
    select customer, charges.id from recoup.charges join paid on paid.id = charges.payment_id
    union
    select customer, charge_id from invoice_paid
)
select customer, id
from (
    select id as customer, id from person
    union
    select customer, id from bought
    union
    select customer, id from invoiced
    union
    select customer, id from invoice_paid
    union
    select customer, id from paid
    union
    select customer, id from charged
    union
    select person.id, subscriptions.id from recoup.subscriptions join person on person.id = subscriptions.customer_id
    union
    select customer, refunds.id from recoup.refunds join paid on paid.id = refunds.payment_id
    union
    select customer, refunds.id from recoup.refunds join charged on charged.id = refunds.charge_id
    union
    select customer, disputes.id from recoup.disputes join paid on paid.id = disputes.payment_id
    union
    select customer, disputes.id from recoup.disputes join charged on charged.id = disputes.charge_id
) as object
where id is not null
