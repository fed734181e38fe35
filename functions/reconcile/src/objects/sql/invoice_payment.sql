-- The payment of an invoice pays the session that the invoice bills.
, derived as (
    select part.owner as id
    from part
    left join recoup.invoice_orders as billed on billed.id = part.invoice_id
    left join recoup.payment_orders as paid on paid.id = part.payment_id
    left join recoup.orders as sale on sale.id = billed.order_id
    where billed.payment_id is distinct from part.payment_id
        or (
            billed.order_id is not null
            and (
                paid.order_id is distinct from billed.order_id
                or (sale.id is not null and sale.payment_id is distinct from part.payment_id)
            )
        )
)
