-- Lines that were sold before the catalogue knew what they grant.
, derived as (
    select expected.id
    from expected
    where expected.grants_kind is not null
        and exists (
            select from recoup.order_items as item
            where item.grants_kind is null and expected.id in (item.price_id, item.product_id)
        )
)
