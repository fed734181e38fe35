-- Every change by a person or a repair: who, what, why, before, after.
create table recoup.audit_log (
    id      bigint generated always as identity,
    at      timestamptz not null default clock_timestamp(),
    actor   text        not null,
    action  text        not null,
    subject text        not null,
    reason  text        not null,
    before  jsonb,
    after   jsonb,
    constraint audit_log_key primary key (id)
);

create index audit_log_subject on recoup.audit_log (subject);

-- A cache of what lies in the bucket. Losing it loses nothing.
create table recoup.backups (
    backup_id       text        not null,
    backup_type     text        not null,
    status          text        not null,
    label           text,
    record_count    bigint,
    file_size_bytes bigint,
    created_at      timestamptz not null,
    completed_at    timestamptz,
    expires_at      timestamptz,
    error           text,
    constraint backups_key primary key (backup_id),
    constraint backups_status check (status in ('running', 'completed', 'failed'))
);

create index backups_created_at on recoup.backups (created_at);

-- One row a run of reconcile, so that the next one knows where to begin.
create table recoup.reconciliations (
    id          bigint generated always as identity,
    scope       text        not null,
    window_from timestamptz not null,
    window_to   timestamptz not null,
    dry_run     boolean     not null,
    started_at  timestamptz not null,
    finished_at timestamptz not null default clock_timestamp(),
    status      text        not null,
    listed      bigint      not null,
    missing     bigint      not null,
    repaired    bigint      not null,
    failed      bigint      not null,
    constraint reconciliations_key primary key (id),
    constraint reconciliations_scope check (scope in ('events')),
    constraint reconciliations_status check (status in ('completed', 'partial'))
);

create index reconciliations_last on recoup.reconciliations (scope, finished_at);
