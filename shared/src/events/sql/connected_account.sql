, connected_account as (
    insert into recoup.connected_accounts as kept (
        id, type, country, default_currency, charges_enabled, payouts_enabled, details_submitted, disabled_reason,
        currently_due, created_at, event_id, event_created, event_rank
    )
    select $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, event_id, event_created, event_rank
    from event
    on conflict (id) do update set
        type = excluded.type,
        country = excluded.country,
        default_currency = excluded.default_currency,
        charges_enabled = excluded.charges_enabled,
        payouts_enabled = excluded.payouts_enabled,
        details_submitted = excluded.details_submitted,
        disabled_reason = excluded.disabled_reason,
        currently_due = excluded.currently_due,
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
    select 1 from connected_account where needs_refetch
    union all
    -- An earlier delivery was cut off before it settled the tie.
    select 1 from recoup.connected_accounts where id = $10 and needs_refetch and not exists (select from event)
)
