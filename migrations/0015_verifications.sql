-- One row a check that ran: a backup that was read back, a drill, the live data, the schema. For people who query, and
-- for `health`, which asks when the last drill was and how long it took. Losing it loses no proof: the bucket has the
-- backups, and any check can run again.
create table recoup.verifications (
    id          bigint generated always as identity,
    action      text        not null,
    -- Which backup, where the check is of one.
    backup_id   text,
    status      text        not null,
    started_at  timestamptz not null,
    finished_at timestamptz not null default clock_timestamp(),
    -- What the function answered, or its findings: ids and counts, never what a row holds.
    details     jsonb       not null,
    constraint verifications_key primary key (id),
    constraint verifications_action check (action in ('quick', 'full', 'drill', 'database', 'schema')),
    -- 'error': the check could not be carried out, and says nothing about what it was to check.
    constraint verifications_status check (status in ('passed', 'failed', 'error'))
);

create index verifications_last on recoup.verifications (action, finished_at);
