-- Events arrive in the order of this column, so that a small index of ranges is enough for the last day.
create index webhook_events_received on recoup.webhook_events using brin (received_at);

comment on column recoup.webhook_events.received_at is
    'When the body was in the function. processed_at is when the statement that settled it ran: between them lie '
    'reading it, fetching what it lacks, and the way to the database.';

-- One row a type, and one for all (type is null): what arrived in the last 24 hours, and what is unsettled however
-- old it is.
create view recoup.webhook_status as
select
    type,
    count(*) filter (where recent)                                                   as received,
    count(*) filter (where recent and status = 'processed')                          as processed,
    count(*) filter (where recent and status = 'ignored')                            as ignored,
    count(*) filter (where status = 'failed')                                        as failed,
    count(*) filter (where status = 'dead')                                          as dead,
    min(received_at) filter (where status in ('failed', 'dead'))                     as oldest_failed_at,
    -- Of what has an effect: events that are ignored on purpose are no success and no failure.
    round(
        count(*) filter (where recent and status = 'processed')::numeric
        / nullif(count(*) filter (where recent and status <> 'ignored'), 0), 4
    )                                                                                as success_rate,
    percentile_cont(0.50) within group (order by processing_ms)                      as processing_p50_ms,
    percentile_cont(0.99) within group (order by processing_ms)                      as processing_p99_ms
from (
    select
        type,
        status,
        received_at,
        received_at >= now() - interval '24 hours' as recent,
        -- Of what was settled at once; a retry's wait is no processing.
        case
            when attempts = 1 and status = 'processed' and received_at >= now() - interval '24 hours'
                then extract(epoch from processed_at - received_at)::double precision * 1000
        end as processing_ms
    from recoup.webhook_events
    where received_at >= now() - interval '24 hours' or status in ('failed', 'dead')
) as event
group by grouping sets ((type), ());
