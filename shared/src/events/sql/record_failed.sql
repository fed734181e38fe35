-- Kept, with the reason, and tried again after 1, 5 and 25 minutes; then it is dead and waits for a person.
-- An event that was settled meanwhile stays as it is.
insert into recoup.webhook_events as stored
    (
        id, type, api_version, account, livemode, created, payload, payload_raw, source, status, last_error,
        next_attempt_at, received_at
    )
values (
    $1, $2, $3, $4, $5, $6, $7, $8, $9, 'failed', $10, clock_timestamp() + interval '1 minute',
    statement_timestamp() - $11::bigint * interval '1 microsecond'
)
on conflict (id) do update set
    status = case when stored.attempts >= 3 then 'dead' else 'failed' end,
    attempts = stored.attempts + 1,
    next_attempt_at = case stored.attempts
        when 0 then clock_timestamp() + interval '1 minute'
        when 1 then clock_timestamp() + interval '5 minutes'
        when 2 then clock_timestamp() + interval '25 minutes'
    end,
    last_error = excluded.last_error
where stored.status = 'failed'
returning status
