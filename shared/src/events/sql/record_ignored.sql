-- Kept, with the reason, and without effects.
insert into recoup.webhook_events
    (id, type, api_version, account, livemode, created, payload, source, status, last_error, processed_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, 'ignored', $9, clock_timestamp())
on conflict (id) do nothing
