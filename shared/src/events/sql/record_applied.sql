-- The event is recorded here, and only where it was (or where it had failed before) do the effects below find a row
-- to work from. One statement, one commit, one round trip. Expects `ready`: a row where the statement may do that.
-- $9 is the event's rank, and for how many microseconds the function has had it.
, event as (
    insert into recoup.webhook_events as stored
        (id, type, api_version, account, livemode, created, payload, source, status, received_at, processed_at)
    select
        $1, $2, $3, $4, $5, $6, $7, $8, 'processed',
        statement_timestamp() - ($9::bigint[])[2] * interval '1 microsecond', clock_timestamp()
    from ready
    on conflict (id) do update set
        status = 'processed',
        attempts = stored.attempts + 1,
        next_attempt_at = null,
        last_error = null,
        processed_at = clock_timestamp()
    where stored.status = 'failed'
    returning id as event_id, account, created as event_created, ($9::bigint[])[1] as event_rank
)
