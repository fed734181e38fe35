-- A deleted price or product keeps its row: what it granted to its buyers stays explained.
, catalog_item as (
    insert into recoup.catalog_items as kept (
        id, account, object, product_id, name, active, unit_amount, currency,
        grants_kind, grants_ref, grants_quantity, deleted_at, event_id, event_created, event_rank
    )
    select
        $10, account, $11, $12, $13, $14, $15, $16, $17, $18, $19, case when $20 then event_created end,
        event_id, event_created, event_rank
    from event
    on conflict (id) do update set
        product_id = excluded.product_id,
        name = excluded.name,
        active = excluded.active,
        unit_amount = excluded.unit_amount,
        currency = excluded.currency,
        grants_kind = excluded.grants_kind,
        grants_ref = excluded.grants_ref,
        grants_quantity = excluded.grants_quantity,
        deleted_at = excluded.deleted_at,
        event_id = excluded.event_id,
        event_created = excluded.event_created,
        event_rank = excluded.event_rank,
        needs_refetch = (kept.event_created, kept.event_rank) = (excluded.event_created, excluded.event_rank)
            and kept.event_id <> excluded.event_id
    where (kept.event_created, kept.event_rank) <= (excluded.event_created, excluded.event_rank)
    returning id, grants_kind, grants_ref, grants_quantity, needs_refetch
)
, tied as (
    select 1 from catalog_item where needs_refetch
    union all
    -- An earlier delivery was cut off before it settled the tie.
    select 1 from recoup.catalog_items where id = $10 and needs_refetch and not exists (select from event)
)
-- Lines that were sold before the catalogue knew what they grant are settled now.
, item as (
    update recoup.order_items set
        grants_kind = catalog_item.grants_kind,
        grants_ref = catalog_item.grants_ref,
        grants_quantity = catalog_item.grants_quantity
    from catalog_item
    where order_items.grants_kind is null
        and not catalog_item.needs_refetch
        and catalog_item.grants_kind is not null
        and catalog_item.id in (order_items.price_id, order_items.product_id)
    returning
        order_items.order_id, order_items.position, order_items.quantity, order_items.grants_kind,
        order_items.grants_ref, order_items.grants_quantity
)
