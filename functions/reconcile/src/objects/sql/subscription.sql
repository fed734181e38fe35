, child as (
    select part.owner as id
    from part
    left join recoup.subscription_items as kept on kept.subscription_id = part.owner and kept.id = part.id
    where (kept.price_id, kept.product_id, kept.quantity, kept.current_period_start, kept.current_period_end)
        is distinct from
        (part.price_id, part.product_id, part.quantity, part.current_period_start, part.current_period_end)
    union
    -- One that was removed.
    select kept.subscription_id
    from expected
    join recoup.subscription_items as kept on kept.subscription_id = expected.id
    where not exists (select from part where part.owner = kept.subscription_id and part.id = kept.id)
)
