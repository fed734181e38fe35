-- A customer whose own event has not arrived gets a row that any event of its own overwrites. A guest has no
-- events of its own: the latest checkout knows best.
, customer as (
    insert into recoup.customers as kept (id, account, email, name, event_id, event_created, event_rank)
    select $11, account, $12, $13, event_id, case when $14 then coalesce($33, event_created) else '-infinity' end, 0
    from event
    where $11::text is not null
        -- The row that is there already, and stays as it is, is not written: other sales of this customer go on.
        and not exists (
            select
            from recoup.customers as known
            where known.id = $11
                and (known.event_created, known.event_rank, known.event_id)
                    >= (case when $14 then coalesce($33, event.event_created) else '-infinity' end, 0, event.event_id)
        )
    on conflict (id) do update set
        email = excluded.email,
        name = excluded.name,
        event_id = excluded.event_id,
        event_created = excluded.event_created,
        event_rank = excluded.event_rank
    where (kept.event_created, kept.event_rank, kept.event_id)
        < (excluded.event_created, excluded.event_rank, excluded.event_id)
)
-- A session that sells a subscription has no payment of its own: that of its first invoice pays it.
, invoice_order as (
    insert into recoup.invoice_orders as kept (id, account, order_id)
    select $32, account, $10 from event where $15::text is null and $32::text is not null
    on conflict (id) do update set order_id = excluded.order_id
    returning payment_id
)
, paid_by as (
    select coalesce($15, (select payment_id from invoice_order)) as id
)
-- What goes back of the payment at the same moment is written to this row as well.
, payment_order as (
    insert into recoup.payment_orders as kept (id, account, order_id)
    select paid_by.id, account, $10 from event cross join paid_by where paid_by.id is not null
    on conflict (id) do update set order_id = excluded.order_id
)
, payment as (
    select payments.amount_returned, payments.returned_at
    from paid_by
    join recoup.payments on payments.id = paid_by.id
)
, placed as (
    insert into recoup.orders as kept (
        id, account, customer_id, payment_id, status, mode, currency, amount_subtotal, amount_total,
        client_reference_id, created_at, paid_at, event_id, event_created, event_rank
    )
    select
        $10, account, $11, paid_by.id, $16, $17, $18, $19, $20, $21, coalesce($22, event_created),
        case when $16 = 'paid' then coalesce($33, event_created) end,
        event_id, event_created, event_rank
    from event
    cross join paid_by
    on conflict (id) do update set
        customer_id = coalesce(excluded.customer_id, kept.customer_id),
        payment_id = coalesce(excluded.payment_id, kept.payment_id),
        status = excluded.status,
        mode = excluded.mode,
        currency = excluded.currency,
        amount_subtotal = excluded.amount_subtotal,
        amount_total = excluded.amount_total,
        client_reference_id = excluded.client_reference_id,
        paid_at = coalesce(excluded.paid_at, kept.paid_at),
        event_id = excluded.event_id,
        event_created = excluded.event_created,
        event_rank = excluded.event_rank
    where (kept.event_created, kept.event_rank, kept.event_id)
        < (excluded.event_created, excluded.event_rank, excluded.event_id)
)
, line as (
    select *
    from unnest(
        $23::text[], $24::text[], $25::text[], $26::text[], $27::bigint[], $28::bigint[],
        $29::text[], $30::text[], $31::bigint[]
    ) with ordinality as line (
        line_item_id, price_id, product_id, description, quantity, amount_total,
        own_kind, own_ref, own_quantity, position
    )
)
-- What a line grants: as the catalogue says of its price, else of its product, else as the line itself says.
, item as (
    insert into recoup.order_items as kept (
        order_id, position, line_item_id, price_id, product_id, description, quantity, amount_total, currency,
        grants_kind, grants_ref, grants_quantity
    )
    select
        $10, line.position, line.line_item_id, line.price_id, line.product_id, line.description, line.quantity,
        line.amount_total, $18, mapped.grants_kind, mapped.grants_ref, mapped.grants_quantity
    from event
    cross join line
    left join lateral (
        select grants_kind, grants_ref, grants_quantity
        from (
            select 1 as preference, grants_kind, grants_ref, grants_quantity
            from recoup.catalog_items
            where id = line.price_id and grants_kind is not null
            union all
            select 2, grants_kind, grants_ref, grants_quantity
            from recoup.catalog_items
            where id = line.product_id and grants_kind is not null
            union all
            select 3, line.own_kind, line.own_ref, line.own_quantity
            where line.own_kind is not null
        ) as known
        order by preference
        limit 1
    ) as mapped on true
    on conflict on constraint order_items_key do update set
        grants_kind = coalesce(kept.grants_kind, excluded.grants_kind),
        grants_ref = coalesce(kept.grants_ref, excluded.grants_ref),
        grants_quantity = coalesce(kept.grants_quantity, excluded.grants_quantity)
    returning position, quantity, grants_kind, grants_ref, grants_quantity
)
, granted as (
    select
        $10::text as order_id,
        item.position,
        $11::text as customer_id,
        item.grants_kind as kind,
        item.grants_ref as ref,
        item.quantity * item.grants_quantity as quantity,
        coalesce($33, event.event_created) as granted_at,
        case when payment.amount_returned > 0 and payment.amount_returned >= $20 then payment.returned_at end
            as revoked_at
    from item
    cross join event
    left join payment on true
    where $16 = 'paid' and item.grants_kind is not null
)
