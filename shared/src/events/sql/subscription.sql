, subscription as (
    insert into recoup.subscriptions as kept (
        id, account, customer_id, status, currency, collection_method, cancel_at_period_end, cancel_at, canceled_at,
        paused_until, trial_end, started_at, ended_at, items_complete, created_at,
        event_id, event_created, event_rank
    )
    select
        $10, account, $11, $12, $13, $14, $15, $16, $17,
        case when $18 then coalesce($19, 'infinity'::timestamptz) end,
        $20, $21, case when $22 then coalesce($23, event_created) end, $24, $25,
        event_id, event_created, event_rank
    from event
    on conflict (id) do update set
        customer_id = excluded.customer_id,
        status = excluded.status,
        currency = excluded.currency,
        collection_method = excluded.collection_method,
        cancel_at_period_end = excluded.cancel_at_period_end,
        cancel_at = excluded.cancel_at,
        canceled_at = excluded.canceled_at,
        paused_until = excluded.paused_until,
        trial_end = excluded.trial_end,
        started_at = excluded.started_at,
        ended_at = excluded.ended_at,
        items_complete = excluded.items_complete,
        created_at = excluded.created_at,
        event_id = excluded.event_id,
        event_created = excluded.event_created,
        event_rank = excluded.event_rank,
        needs_refetch = (kept.event_created, kept.event_rank) = (excluded.event_created, excluded.event_rank)
            and kept.event_id <> excluded.event_id
    where (kept.event_created, kept.event_rank) <= (excluded.event_created, excluded.event_rank)
    returning id, needs_refetch
)
, tied as (
    select 1 from subscription where needs_refetch
    union all
    -- An earlier delivery was cut off before it settled the tie.
    select 1 from recoup.subscriptions where id = $10 and needs_refetch and not exists (select from event)
)
-- Only the event that wrote the subscription writes its items: they are replaced, so that one that was removed
-- does not stay.
, gone as (
    delete from recoup.subscription_items as kept
    using subscription
    where kept.subscription_id = subscription.id and kept.id <> all ($26::text[])
)
, item as (
    insert into recoup.subscription_items
        (subscription_id, id, price_id, product_id, quantity, current_period_start, current_period_end)
    select
        subscription.id, item.id, item.price_id, item.product_id, item.quantity, item.period_start, item.period_end
    from subscription
    cross join unnest(
        $26::text[], $27::text[], $28::text[], $29::bigint[], $30::timestamptz[], $31::timestamptz[]
    ) as item (id, price_id, product_id, quantity, period_start, period_end)
    on conflict (subscription_id, id) do update set
        price_id = excluded.price_id,
        product_id = excluded.product_id,
        quantity = excluded.quantity,
        current_period_start = excluded.current_period_start,
        current_period_end = excluded.current_period_end
)
