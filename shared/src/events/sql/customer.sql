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
        event_rank = excluded.event_rank
    where (kept.event_created, kept.event_rank, kept.event_id)
        < (excluded.event_created, excluded.event_rank, excluded.event_id)
)
