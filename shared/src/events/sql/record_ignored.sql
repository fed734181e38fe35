-- Kept, with the reason, and without effects.
insert into recoup.webhook_events
    (id, type, api_version, account, livemode, created, payload, source, status, last_error, received_at, processed_at)
values (
    $1, $2, $3, $4, $5, $6, $7, $8, 'ignored', $9, statement_timestamp() - $10::bigint * interval '1 microsecond',
    clock_timestamp()
)
on conflict (id) do nothing
