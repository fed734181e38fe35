-- What lines grant that were settled after their sale. Expects `item`: those lines as they are now.
, granted as (
    select
        item.order_id,
        item.position,
        orders.customer_id,
        item.grants_kind as kind,
        item.grants_ref as ref,
        item.quantity * item.grants_quantity as quantity,
        orders.paid_at as granted_at,
        case when payments.amount_returned > 0 and payments.amount_returned >= orders.amount_total
            then payments.returned_at
        end as revoked_at
    from item
    join recoup.orders on orders.id = item.order_id and orders.paid_at is not null
    left join recoup.payments on payments.id = orders.payment_id
)
