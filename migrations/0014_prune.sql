-- How far a run has come, what the cache may say of a backup that is no more, and instants that stay restorable.

alter table recoup.backups
    -- When the run last said that it goes on. Whether it still does, its advisory lock tells.
    add column heartbeat_at     timestamptz,
    -- Bytes of rows and rows that were read so far, and the share of the tables' bytes that is done.
    add column progress_bytes   bigint,
    add column progress_rows    bigint,
    add column progress_percent double precision;

alter table recoup.backups drop constraint backups_status;
alter table recoup.backups add constraint backups_status
    -- pruned: removed by prune. gone: the bucket has it no more, and prune did not remove it.
    check (status in ('running', 'completed', 'failed', 'pruned', 'gone'));

-- Instants that stay restorable until somebody drops them: prune leaves the backup that each needs.
create table recoup.recovery_points (
    name        text        not null,
    description text,
    at          timestamptz not null,
    -- No foreign key: backups is a cache, and may be emptied.
    backup_id   text        not null,
    created_at  timestamptz not null default clock_timestamp(),
    created_by  text        not null default session_user,
    constraint recovery_points_key primary key (name),
    constraint recovery_points_name check (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$')
);

comment on table recoup.recovery_points is 'Instants that stay restorable: prune leaves the backup that each needs.';

-- Waits for a prune that decides at this moment, and sees what it took: recovery_points is locked before the
-- backup is chosen.
create function recoup.create_recovery_point(
    name        text,
    description text        default null,
    at          timestamptz default now()
) returns recoup.recovery_points
language plpgsql
set search_path = ''
as $$
declare
    pinned text;
    made   recoup.recovery_points;
begin
    if create_recovery_point.at > clock_timestamp() then
        raise exception 'create recovery point %: % lies in the future', create_recovery_point.name, create_recovery_point.at
            using errcode = 'invalid_parameter_value', hint = 'Leave "at" out for the present instant.';
    end if;
    lock table recoup.recovery_points in row exclusive mode;
    select b.backup_id into pinned
    from recoup.backups as b
    where b.backup_type = 'full' and not b.partial and b.status = 'completed'
        and b.completed_at <= create_recovery_point.at
    order by b.completed_at desc
    limit 1;
    if pinned is null then
        raise exception 'create recovery point %: no full backup was complete by %', create_recovery_point.name, create_recovery_point.at
            using errcode = 'no_data_found',
                hint = 'Take a full backup first; if the bucket has one, fill recoup.backups with backup {"action":"rebuild"}.';
    end if;
    insert into recoup.recovery_points (name, description, at, backup_id)
    values (create_recovery_point.name, create_recovery_point.description, create_recovery_point.at, pinned)
    returning * into made;
    insert into recoup.audit_log (actor, action, subject, reason, after)
    values (session_user, 'create recovery point', 'recovery point ' || made.name, coalesce(made.description, ''), to_jsonb(made));
    return made;
end
$$;

comment on function recoup.create_recovery_point is
    'Keeps an instant restorable: pins the newest full backup that was complete by then. For example: select * from recoup.create_recovery_point(''before-release-12'', ''the schema changes'').';

create function recoup.drop_recovery_point(name text, reason text) returns recoup.recovery_points
language plpgsql
set search_path = ''
as $$
declare
    dropped recoup.recovery_points;
begin
    delete from recoup.recovery_points as p where p.name = drop_recovery_point.name returning p.* into dropped;
    if dropped.name is null then
        raise exception 'drop recovery point %: there is none of this name', drop_recovery_point.name
            using errcode = 'no_data_found', hint = 'select name from recoup.recovery_points lists them.';
    end if;
    insert into recoup.audit_log (actor, action, subject, reason, before)
    values (session_user, 'drop recovery point', 'recovery point ' || dropped.name, drop_recovery_point.reason, to_jsonb(dropped));
    return dropped;
end
$$;

comment on function recoup.drop_recovery_point is
    'Lets an instant go: prune may remove its backup again.';

-- No statement of Postgres can remove an object from a bucket: backup {"action":"prune"} does that, and marks the
-- rows. This forgets the rows of backups that are no more, a month after they would have expired.
create function recoup.cleanup_expired_backups() returns bigint
language sql
set search_path = ''
as $$
    with forgotten as (
        delete from recoup.backups
        where status in ('pruned', 'gone', 'failed')
            and greatest(created_at, coalesce(expires_at, created_at)) < now() - interval '30 days'
        returning 1
    )
    select count(*) from forgotten
$$;

comment on function recoup.cleanup_expired_backups is
    'Forgets rows of backups that are no more, a month after their expiry. Objects are removed by backup {"action":"prune"}, which calls this.';
