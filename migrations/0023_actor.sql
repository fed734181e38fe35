-- Who the audit log is to name where a function of ours writes it: whoever asked operate for it, else the session's user.
create function recoup.actor() returns text
language sql stable
set search_path = ''
as $$
    select coalesce(nullif(current_setting('recoup.actor', true), ''), session_user)
$$;

comment on function recoup.actor is
    'Who acts: recoup.actor of this transaction where it is set, else the session''s user.';

-- Waits for a prune that decides at this moment, and sees what it took: recovery_points is locked before the
-- backup is chosen.
create or replace function recoup.create_recovery_point(
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
    values (recoup.actor(), 'create recovery point', 'recovery point ' || made.name, coalesce(made.description, ''), to_jsonb(made));
    return made;
end
$$;

create or replace function recoup.drop_recovery_point(name text, reason text) returns recoup.recovery_points
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
    values (recoup.actor(), 'drop recovery point', 'recovery point ' || dropped.name, drop_recovery_point.reason, to_jsonb(dropped));
    return dropped;
end
$$;
