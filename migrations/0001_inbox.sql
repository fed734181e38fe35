-- Everything of recoup lives in a schema of its own, beside an application's tables and never among them.
create schema if not exists recoup;

comment on schema recoup is 'Payment records kept by recoup: Stripe events and what follows from them.';

-- Every signed event that arrived, to the byte. A row commits together with the event's effects or not at all.
create table recoup.webhook_events (
    id              text        not null,
    type            text        not null,
    api_version     text,
    account         text,
    livemode        boolean     not null,
    created         timestamptz not null,
    -- The body as received. A body that Postgres cannot hold as text (invalid UTF-8, a NUL byte) is in payload_raw.
    payload         text,
    payload_raw     bytea,
    received_at     timestamptz not null default clock_timestamp(),
    source          text        not null,
    status          text        not null,
    attempts        integer     not null default 1,
    next_attempt_at timestamptz,
    last_error      text,
    processed_at    timestamptz,
    constraint webhook_events_key primary key (id),
    constraint webhook_events_status check (status in ('processed', 'ignored', 'failed', 'dead')),
    constraint webhook_events_source check (source in ('webhook', 'eventbridge', 'reconcile', 'operator')),
    constraint webhook_events_one_payload check ((payload is null) <> (payload_raw is null))
);

create index webhook_events_created on recoup.webhook_events (created);

-- Few rows are ever in it: what waits for another try, and what needs a person.
create index webhook_events_unsettled on recoup.webhook_events (status, next_attempt_at)
    where status in ('failed', 'dead');
