-- Lines of sales that the catalogue did not know and now knows. The event that teaches the catalogue settles
-- them, save those of a sale that was written at the same moment.
with mapped as (
    select distinct on (item.order_id, item.position)
        item.order_id, item.position, known.grants_kind, known.grants_ref, known.grants_quantity
    from recoup.order_items as item
    join recoup.catalog_items as known on known.id in (item.price_id, item.product_id)
    where item.grants_kind is null and known.grants_kind is not null and not known.needs_refetch
    -- What a price grants counts before what its product does.
    order by item.order_id, item.position, known.id = item.price_id desc
    limit 1000
)
, item as (
    update recoup.order_items set
        grants_kind = mapped.grants_kind,
        grants_ref = mapped.grants_ref,
        grants_quantity = mapped.grants_quantity
    from mapped
    where order_items.order_id = mapped.order_id and order_items.position = mapped.position
    returning
        order_items.order_id, order_items.position, order_items.quantity, order_items.grants_kind,
        order_items.grants_ref, order_items.grants_quantity
)
, audited as (
    insert into recoup.audit_log (actor, action, subject, reason, after)
    select
        'reconcile', 'settle line', 'order ' || order_id || ' line ' || position, 'the catalogue knows it now',
        jsonb_build_object('grants_kind', grants_kind, 'grants_ref', grants_ref)
    from item
)
