, child as (
    select part.owner as id
    from part
    left join recoup.invoice_lines as kept on kept.invoice_id = part.owner and kept.position = part.position
    where (
            kept.id, kept.subscription_id, kept.price_id, kept.product_id, kept.quantity, kept.amount,
            kept.period_start, kept.period_end
        ) is distinct from (
            part.id, part.subscription_id, part.price_id, part.product_id, part.quantity, part.amount,
            part.period_start, part.period_end
        )
    union
    -- One that was removed.
    select kept.invoice_id
    from expected
    join recoup.invoice_lines as kept on kept.invoice_id = expected.id
    where kept.position > (select count(*) from part where part.owner = expected.id)
)
-- Until 2025-03-31 an invoice names its payment.
, derived as (
    select expected.id
    from expected
    where expected.payment_id is not null
        and expected.billing_reason = 'subscription_create'
        and not exists (
            select from recoup.invoice_orders as billed
            where billed.id = expected.id and billed.payment_id = expected.payment_id
        )
)
