, payment as (
    insert into recoup.payments as kept (
        id, account, customer_id, status, amount, amount_received, currency, failure_code, created_at,
        event_id, event_created, event_rank
    )
    select $10, account, $11, $12, $13, $14, $15, $16, $17, event_id, event_created, event_rank
    from event
    on conflict (id) do update set
        account = excluded.account,
        customer_id = excluded.customer_id,
        status = excluded.status,
        amount = excluded.amount,
        amount_received = excluded.amount_received,
        currency = excluded.currency,
        failure_code = excluded.failure_code,
        created_at = excluded.created_at,
        event_id = excluded.event_id,
        event_created = excluded.event_created,
        event_rank = excluded.event_rank,
        needs_refetch = (kept.event_created, kept.event_rank) = (excluded.event_created, excluded.event_rank)
            and kept.event_id <> excluded.event_id
    where (kept.event_created, kept.event_rank) <= (excluded.event_created, excluded.event_rank)
    returning needs_refetch
)
, tied as (
    select 1 from payment where needs_refetch
    union all
    -- An earlier delivery was cut off before it settled the tie.
    select 1 from recoup.payments where id = $10 and needs_refetch and not exists (select from event)
)
