-- The window of a backup that holds only the rows created in it, with what these refer to.
alter table recoup.backups
    add column window_from timestamptz,
    add column window_to   timestamptz,
    add column partial     boolean not null generated always as (window_from is not null) stored,
    add constraint backups_window check (
        (window_from is null) = (window_to is null) and (window_from is null or window_from < window_to)
    );

comment on column recoup.backups.file_size_bytes is
    'All objects in the backup''s folder, the manifest among them: what a listing of the bucket adds up to.';

create index backups_newest on recoup.backups (backup_type, created_at) where status = 'completed' and not partial;

-- Which backups there have to be: what the schedules of infra/template.yaml make. Whoever changes a schedule, or has
-- another promise to keep, changes the row.
create table recoup.backup_expectations (
    backup_type text        not null,
    -- How often one is made.
    every       interval    not null,
    -- How old the newest may become: the time of a run, and some delay, above `every`.
    rpo         interval    not null,
    -- From when on they are expected.
    since       timestamptz not null default now(),
    constraint backup_expectations_key primary key (backup_type),
    constraint backup_expectations_every check (every > interval '0'),
    constraint backup_expectations_rpo check (rpo >= every)
);

comment on table recoup.backup_expectations is
    'Which backups there have to be, for the view backup_health_check. Operators change it with the schedules.';

insert into recoup.backup_expectations (backup_type, every, rpo) values
    ('full',     interval '1 day',  interval '26 hours'),
    ('payments', interval '1 hour', interval '2 hours'),
    ('orders',   interval '1 day',  interval '26 hours'),
    ('tickets',  interval '1 day',  interval '26 hours');

-- One row a kind of backup: what there is, and what went wrong last.
create view recoup.backup_status_summary as
select
    kind.backup_type,
    kind.completed,
    kind.completed_partial,
    kind.running,
    kind.failed,
    kind.file_size_bytes,
    newest.backup_id       as newest_backup_id,
    newest.created_at      as newest_created_at,
    newest.record_count    as newest_record_count,
    newest.file_size_bytes as newest_file_size_bytes,
    newest.expires_at      as newest_expires_at,
    last_failed.created_at as last_failed_at,
    last_failed.error      as last_error
from (
    select
        backup_type,
        count(*) filter (where status = 'completed' and not partial)                  as completed,
        count(*) filter (where status = 'completed' and partial)                      as completed_partial,
        count(*) filter (where status = 'running')                                    as running,
        count(*) filter (where status = 'failed')                                     as failed,
        coalesce(sum(file_size_bytes) filter (where status = 'completed'), 0)::bigint as file_size_bytes
    from recoup.backups
    group by backup_type
) as kind
left join lateral (
    select backup.backup_id, backup.created_at, backup.record_count, backup.file_size_bytes, backup.expires_at
    from recoup.backups as backup
    where backup.backup_type = kind.backup_type and backup.status = 'completed' and not backup.partial
    order by backup.created_at desc, backup.backup_id desc
    limit 1
) as newest on true
left join lateral (
    select backup.created_at, backup.error
    from recoup.backups as backup
    where backup.backup_type = kind.backup_type and backup.status = 'failed'
    order by backup.created_at desc, backup.backup_id desc
    limit 1
) as last_failed on true;

-- One row an expectation: the last seven days, and whether the newest backup is young enough. A backup of a window
-- is none of those that are expected; the age is that of what a backup shows, so it counts from its beginning.
create view recoup.backup_health_check as
select
    expected.backup_type,
    expected.every,
    expected.rpo,
    floor(
        extract(epoch from least(now() - expected.since, interval '7 days')) / extract(epoch from expected.every)
    )::bigint                                                       as expected,
    made.completed,
    made.failed,
    made.newest_created_at,
    now() - made.newest_created_at                                  as newest_age,
    coalesce(now() - made.newest_created_at <= expected.rpo, false) as rpo_met
from recoup.backup_expectations as expected
cross join lateral (
    select
        count(*) filter (where status = 'completed' and created_at >= now() - interval '7 days') as completed,
        count(*) filter (where status = 'failed' and created_at >= now() - interval '7 days')    as failed,
        max(created_at) filter (where status = 'completed')                                      as newest_created_at
    from recoup.backups as backup
    where backup.backup_type = expected.backup_type and not backup.partial
) as made;
