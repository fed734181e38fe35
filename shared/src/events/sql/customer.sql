-- A deleted customer keeps its row: the tombstone that later deliveries of older events cannot overwrite.
, customer as (
    insert into recoup.customers as kept
        (id, account, email, name, created_at, deleted_at, event_id, event_created, event_rank)
    select $10, account, $11, $12, $13, case when $14 then event_created end, event_id, event_created, event_rank
    from event
    on conflict (id) do update set
        email = excluded.email,
        name = excluded.name,
        created_at = coalesce(excluded.created_at, kept.created_at),
        deleted_at = excluded.deleted_at,
        event_id = excluded.event_id,
        event_created = excluded.event_created,
        event_rank = excluded.event_rank,
        needs_refetch = (kept.event_created, kept.event_rank) = (excluded.event_created, excluded.event_rank)
            and kept.event_id <> excluded.event_id
    where (kept.event_created, kept.event_rank) <= (excluded.event_created, excluded.event_rank)
    returning needs_refetch
)
, tied as (
    select 1 from customer where needs_refetch
    union all
    -- An earlier delivery was cut off before it settled the tie.
    select 1 from recoup.customers where id = $10 and needs_refetch and not exists (select from event)
)
