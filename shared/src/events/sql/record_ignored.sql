-- Kept, with the reason, and without effects.
insert into recoup.webhook_events as stored
    (id, type, api_version, account, livemode, created, payload, source, status, last_error, received_at, processed_at)
values (
    $1, $2, $3, $4, $5, $6, $7, $8, 'ignored', $9, statement_timestamp() - $10::bigint * interval '1 microsecond',
    clock_timestamp()
)
on conflict (id) do update set
    status = 'ignored',
    attempts = stored.attempts + 1,
    next_attempt_at = null,
    last_error = excluded.last_error,
    processed_at = excluded.processed_at
where stored.status = 'failed'
