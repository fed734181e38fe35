-- Every change of a captured table, as rows of its own transaction: what leads from a backup to any later instant.
-- Triggers write it, so that it needs no setting of the server and no right of replication. docs/decisions/0022 has
-- the reasons for what follows.

-- Tables whose changes are captured. Those of recoup have ids below 1000, in the order of their migrations.
create table recoup.captured_tables (
    id             integer     not null,
    schema_name    text        not null,
    table_name     text        not null,
    -- Primary key, or the unique key that stands for one.
    key_columns    text[]      not null,
    -- Columns that never change once a row is there: the export reads them from the table, and no change holds them.
    read_at_export text[]      not null default '{}',
    captured_at    timestamptz not null default clock_timestamp(),
    captured_xid   xid8        not null default pg_current_xact_id(),
    released_at    timestamptz,
    constraint captured_tables_key primary key (id)
);

create sequence recoup.captured_tables_id as integer minvalue 1000 owned by recoup.captured_tables.id;

create table recoup.row_changes (
    -- The order in which changes are replayed: two transactions that change one row have a lock between them, and two
    -- changes of one transaction follow each other.
    id        bigint generated always as identity,
    xid       xid8        not null default pg_current_xact_id(),
    -- When the statement had changed its rows: so that a transaction that another depends on is never later.
    at        timestamptz not null,
    table_id  integer     not null,
    -- I and U: there is this row. D: there was this row. T: all rows of the table are gone.
    operation "char"      not null,
    row_text  text,
    constraint row_changes_key primary key (id)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);

comment on table recoup.row_changes is
    'Changes of captured tables, until they are exported and the keep window has passed. Written by triggers alone.';

do $$
begin
    alter table recoup.row_changes alter column row_text set compression lz4;
exception
    when feature_not_supported then
        raise notice 'this server was built without lz4: long rows are compressed by pglz';
end
$$;

-- What is captured, by the triggers that are there: a table keeps them under another name too, and has none of them once
-- it is another table.
create view recoup.captured as
select
    c.id                            as table_id,
    relation.oid                    as relation,
    namespace.nspname::text         as schema_name,
    relation.relname::text          as table_name,
    c.key_columns,
    c.read_at_export,
    c.captured_at,
    c.captured_xid,
    -- Whether all of the triggers are there and on.
    (
        select count(*)
        from pg_catalog.pg_trigger as own
        where own.tgrelid = relation.oid and own.tgname like 'recoup\_capture\_%' and own.tgenabled = 'A'
    ) = case relation.relkind when 'p' then 3 else 5 end as complete
from pg_catalog.pg_trigger as trigger
join pg_catalog.pg_proc as function on function.oid = trigger.tgfoid
join pg_catalog.pg_class as relation on relation.oid = trigger.tgrelid
join pg_catalog.pg_namespace as namespace on namespace.oid = relation.relnamespace
join recoup.captured_tables as c on function.proname = 'capture_' || c.id
where trigger.tgname = 'recoup_capture_insert' and not trigger.tgisinternal
    and function.pronamespace = 'recoup'::regnamespace and c.released_at is null;

comment on view recoup.captured is 'Tables whose changes are captured, as they are called now.';

-- The segments of changes that were exported. A row is committed before its segment's manifest is stored: a database
-- that does not know a segment of its chain has lost what it held.
create table recoup.change_segments (
    segment_id      text        not null,
    chain           text        not null,
    sequence        bigint      not null,
    -- sealed: its manifest is known to stand. pending: it may.
    status          text        not null,
    snapshot        pg_snapshot not null,
    taken_at        timestamptz not null,
    -- The highest id that had been given out just before the snapshot.
    last_id         bigint      not null,
    content_sha256  text        not null,
    row_count       bigint      not null,
    file_size_bytes bigint      not null,
    -- Which database has this history: a copy has another one.
    database        text        not null,
    -- What the captured tables' definitions come down to; null where a later segment has it.
    definitions     jsonb,
    exported_at     timestamptz not null default clock_timestamp(),
    -- The transaction that wrote this row, and so began after last_id was read: later ones have changes with higher ids
    -- alone. The snapshot does not tell that: a transaction at or above its xmax may have begun long before.
    written_xid     xid8        not null default pg_current_xact_id(),
    constraint change_segments_key primary key (segment_id),
    constraint change_segments_place unique (chain, sequence),
    constraint change_segments_status check (status in ('pending', 'sealed'))
);

comment on table recoup.change_segments is
    'Segments of changes that were exported. It belongs to this database''s history, as row_changes does: no backup holds their rows.';

-- The settings under which values of these types become text that reads back the same on any server. Each costs each
-- statement a little, so that a table has only those that its types need.
create function recoup.capture_settings(columns_of regclass) returns text
language sql stable
set search_path = ''
as $$
    with recursive type (oid) as (
        select attribute.atttypid
        from pg_catalog.pg_attribute as attribute
        where attribute.attrelid = columns_of and attribute.attnum > 0 and not attribute.attisdropped
        union
        select inner_type.oid
        from type
        join pg_catalog.pg_type as outer_type on outer_type.oid = type.oid
        cross join lateral (
            select outer_type.typelem where outer_type.typelem <> 0 and outer_type.typsubscript <> 0
            union all
            select outer_type.typbasetype where outer_type.typbasetype <> 0
            union all
            select rngsubtype from pg_catalog.pg_range where outer_type.oid in (rngtypid, rngmultitypid)
            union all
            select member.atttypid
            from pg_catalog.pg_attribute as member
            where member.attrelid = outer_type.typrelid and member.attnum > 0 and not member.attisdropped
        ) as inner_type (oid)
        where outer_type.oid not in ('point'::regtype, 'line'::regtype, 'lseg'::regtype, 'box'::regtype)
    ),
    leaf (name, known) as (
        select
            inner_type.typname,
            inner_type.typtype in ('e', 'd', 'c', 'r', 'm') or inner_type.typcategory = 'A'
                or inner_type.typnamespace = 'pg_catalog'::regnamespace
        from type
        join pg_catalog.pg_type as inner_type on inner_type.oid = type.oid
    ),
    needed (setting) as (
        select case
            when name in ('date', 'timestamp', 'timestamptz') then 'set DateStyle = ''ISO, MDY'''
            when name = 'interval' then 'set IntervalStyle = ''postgres'''
            when name = 'bytea' then 'set bytea_output = ''hex'''
            when name = 'money' then 'set lc_monetary = ''C'''
            when name in ('float4', 'float8', 'point', 'line', 'lseg', 'box', 'path', 'polygon', 'circle')
                then 'set extra_float_digits = 3'
            when name like 'reg%' then 'set search_path = '''''
        end
        from leaf
        where known
        union
        select setting
        from leaf
        cross join unnest(array[
            'set DateStyle = ''ISO, MDY''', 'set IntervalStyle = ''postgres''', 'set bytea_output = ''hex''',
            'set lc_monetary = ''C''', 'set extra_float_digits = 3', 'set search_path = '''''
        ]) as setting
        where not known
    )
    select coalesce(string_agg(setting, E'\n' order by setting), '') from needed
$$;

-- The key by which a row of a table is known again: its primary key, or a unique key that holds for every row at every
-- moment. As names, and as the condition that `one` and `other` have it in common. None where there is no such key.
create function recoup.capture_key(of_table regclass, out columns text[], out condition text)
language sql stable
set search_path = ''
as $$
    with candidate as (
        select index.indexrelid, index.indisprimary, index.indkey, index.indclass, index.indnkeyatts
        from pg_catalog.pg_index as index
        where index.indrelid = of_table and index.indisunique and index.indimmediate and index.indisvalid
            and index.indpred is null and index.indexprs is null
            and not exists (
                select from pg_catalog.pg_attribute as attribute
                where attribute.attrelid = of_table and attribute.attnum = any (index.indkey[0:index.indnkeyatts - 1])
                    and not attribute.attnotnull
            )
        order by index.indisprimary desc, index.indnkeyatts, index.indexrelid
        limit 1
    )
    select
        array_agg(attribute.attname::text order by position.n),
        string_agg(
            format('one.%1$I operator(%2$I.%3$s) other.%1$I', attribute.attname, namespace.nspname, operator.oprname),
            ' and ' order by position.n
        )
    from candidate
    cross join lateral generate_series(0, candidate.indnkeyatts - 1) as position (n)
    join pg_catalog.pg_attribute as attribute
        on attribute.attrelid = of_table and attribute.attnum = candidate.indkey[position.n]
    join pg_catalog.pg_opclass as class on class.oid = candidate.indclass[position.n]
    join pg_catalog.pg_amop as member
        on member.amopfamily = class.opcfamily and member.amopstrategy = 3
        and member.amoplefttype = class.opcintype and member.amoprighttype = class.opcintype
    join pg_catalog.pg_operator as operator on operator.oid = member.amopopr
    join pg_catalog.pg_namespace as namespace on namespace.oid = operator.oprnamespace
    having count(*) > 0
$$;

-- The text of a row, `alias`, without the columns that the export reads.
create function recoup.capture_row_text(of_table regclass, alias text, read_at_export text[]) returns text
language sql stable
set search_path = ''
as $$
    select case
        -- Not `alias::text`, which is a column where the table has one of that name.
        when read_at_export = '{}' then format('(%I.*)::pg_catalog.text', alias)
        else format('row(%s)::pg_catalog.text', string_agg(
            case
                when attribute.attname = any (read_at_export)
                    then format('null::%s', pg_catalog.format_type(attribute.atttypid, attribute.atttypmod))
                else format('%I.%I', alias, attribute.attname)
            end,
            ', ' order by attribute.attnum
        ))
    end
    from pg_catalog.pg_attribute as attribute
    where attribute.attrelid = of_table and attribute.attnum > 0 and not attribute.attisdropped
$$;

-- What a trigger runs where a statement inside another one (a trigger's) changed the same table meanwhile: which of
-- two changes of a row is the last does not follow from their order then, so that each is written as the row is now.
-- Built when it is run, so that a table or a column that was renamed breaks no statement of the application.
create function recoup.capture_current(of_table regclass, table_id integer, from_row boolean) returns text
language plpgsql stable
set search_path = ''
as $$
declare
    key      record;
    captured recoup.captured_tables;
    again    text;
begin
    select * into key from recoup.capture_key(of_table);
    select * into captured from recoup.captured_tables as c where c.id = capture_current.table_id;
    again := format(
        '(select %s from %s as one where %s limit 1)',
        recoup.capture_row_text(of_table, 'one', captured.read_at_export), of_table, key.condition
    );
    return format(
        'insert into recoup.row_changes (at, table_id, operation, row_text)
         select $1, %s, case when current is null then ''D'' else ''U'' end, coalesce(current, was)
         from (select %s as current, %s as was from %s as other) as row',
        table_id, again, recoup.capture_row_text(of_table, 'other', captured.read_at_export),
        case when from_row then '(select ($2).*)' else 'new_rows' end
    );
end
$$;

-- Begins to capture a table. Waits for transactions that write it, and until it commits, writers wait for it. What a
-- statement puts there is written statement by statement, which is quick where one changes many rows; for our own
-- tables row by row, since one statement names many of them for an event and changes a row in few.
create function recoup.capture_table(
    target         regclass,
    read_at_export text[]  default '{}',
    ours           boolean default false
) returns integer
language plpgsql
set search_path = ''
as $$
declare
    relation  record;
    key       record;
    table_id  integer;
    settings  text;
    put       text;
    put_text  text;
    ended     text;
    key_moved text;
begin
    select
        n.nspname, c.relname, c.relkind, c.relispartition, c.relpersistence,
        c.relrowsecurity, c.relforcerowsecurity, c.relowner,
        exists (
            select from pg_catalog.pg_inherits as i
            where not c.relispartition and i.inhrelid = c.oid or c.relkind <> 'p' and i.inhparent = c.oid
        ) as inherits,
        (select r.rolsuper or r.rolbypassrls from pg_catalog.pg_roles as r where r.rolname = current_user) as sees_all
    into relation
    from pg_catalog.pg_class as c
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    where c.oid = target;
    if relation.relkind not in ('r', 'p') or relation.relpersistence = 't' then
        raise exception 'capture table %: it is no table that keeps rows', target
            using errcode = 'wrong_object_type', hint = 'Name a table of a schema.';
    end if;
    if ours and relation.relkind = 'p' then
        raise exception 'capture table % row by row: it has partitions', target using errcode = 'feature_not_supported';
    end if;
    if relation.inherits then
        raise exception 'capture table %: it inherits from a table, or a table inherits from it', target
            using errcode = 'feature_not_supported', hint = 'Make it a partitioned table, or leave it to the full backups.';
    end if;
    if relation.relrowsecurity and not relation.sees_all
        and (relation.relforcerowsecurity or relation.relowner <> current_user::regrole) then
        raise exception 'capture table %: its row security would hide rows from the capture', target
            using errcode = 'insufficient_privilege', hint = 'Capture it as its owner without FORCE ROW LEVEL SECURITY, or as a role with BYPASSRLS.';
    end if;
    select * into key from recoup.capture_key(target);
    if key.columns is null then
        raise exception 'capture table %: it has no key by which a row is known again', target
            using errcode = 'object_not_in_prerequisite_state',
                hint = 'Give it a primary key, or a unique constraint on NOT NULL columns that is not deferrable.';
    end if;
    if exists (select from recoup.captured as c where c.relation = target) then
        raise exception 'capture table %: it is captured already', target
            using errcode = 'duplicate_object', hint = 'Release it first where its capture is to be made anew.';
    end if;

    if ours then
        select coalesce(max(id), 0) + 1 into table_id from recoup.captured_tables where id < 1000;
    else
        table_id := nextval('recoup.captured_tables_id');
    end if;
    insert into recoup.captured_tables (id, schema_name, table_name, key_columns, read_at_export)
    values (table_id, relation.nspname, relation.relname, key.columns, read_at_export);

    settings := recoup.capture_settings(target);
    -- The table may have columns with the names of the functions' variables: columns are only meant where their table is
    -- named as well.
    -- How deep in triggers the table was last changed in this transaction: deeper than here means that a statement
    -- inside this one has changed it.
    ended := format(
        $part$declare
    ended_at constant timestamptz := pg_catalog.clock_timestamp();
    depth    constant integer     := pg_catalog.pg_trigger_depth();
    deepest  constant integer     := coalesce(nullif(pg_catalog.current_setting('recoup.depth_%1$s', true), ''), '0');
begin
    if depth operator(pg_catalog.>) 1 and depth operator(pg_catalog.>) deepest then
        perform pg_catalog.set_config('recoup.depth_%1$s', depth::text, true);
    end if;$part$,
        table_id
    );
    if ours then
        put := 'for each row';
        put_text := format(
            $part$    if deepest operator(pg_catalog.>) depth then
        execute recoup.capture_current(tg_relid, %1$s, true) using ended_at, new;
    else
        insert into recoup.row_changes (at, table_id, operation, row_text)
        values (ended_at, %1$s, pg_catalog.left(tg_op, 1), %2$s);
    end if;$part$,
            table_id, recoup.capture_row_text(target, 'new', read_at_export)
        );
    else
        put := 'referencing new table as new_rows for each statement';
        put_text := format(
            $part$    if deepest operator(pg_catalog.>) depth then
        execute recoup.capture_current(tg_relid, %1$s, false) using ended_at;
    else
        insert into recoup.row_changes (at, table_id, operation, row_text)
        select ended_at, %1$s, pg_catalog.left(tg_op, 1), %2$s from new_rows as other;
    end if;$part$,
            table_id, recoup.capture_row_text(target, 'other', read_at_export)
        );
    end if;
    execute format(
        $function$create function recoup.capture_%1$s() returns trigger
language plpgsql security definer
%2$s
as $capture$
#variable_conflict use_variable
%3$s
%4$s
    return null;
end
$capture$
$function$,
        table_id, settings, ended, put_text
    );
    -- What is no more is written row by row: so that of one statement it comes before what it puts there, a key of one
    -- row may be another's afterwards.
    execute format(
        $function$create function recoup.capture_gone_%1$s() returns trigger
language plpgsql security definer
%2$s
as $capture$
#variable_conflict use_variable
%3$s
    if tg_op operator(pg_catalog.=) 'TRUNCATE' then
        insert into recoup.row_changes (at, table_id, operation) values (ended_at, %1$s, 'T');
    elsif deepest operator(pg_catalog.>) depth then
        execute recoup.capture_current(tg_relid, %1$s, true) using ended_at, old;
    else
        insert into recoup.row_changes (at, table_id, operation, row_text) values (ended_at, %1$s, 'D', %4$s);
    end if;
    return null;
end
$capture$
$function$,
        -- The key is compared as text by whoever replays it: of one instant there is one text.
        table_id, settings || E'\nset TimeZone = ''UTC''', ended, recoup.capture_row_text(target, 'old', read_at_export)
    );
    execute format('revoke all on function recoup.capture_%1$s(), recoup.capture_gone_%1$s() from public', table_id);
    execute (
        select string_agg(format(
            'create trigger recoup_capture_%1$s after %1$s on %2$s %3$s execute function recoup.capture_%4$s()',
            operation, target, put, table_id
        ), '; ')
        from unnest(array['insert', 'update']) as operation
    );
    execute format(
        'create trigger recoup_capture_truncate after truncate on %s for each statement execute function recoup.capture_gone_%s()',
        target, table_id
    );
    -- A row of a partitioned table is one of a partition, which has its own.
    if relation.relkind = 'r' then
        select string_agg(format('old.%1$I is distinct from new.%1$I', name), ' or ') into key_moved
        from unnest(key.columns) as name;
        execute format(
            'create trigger recoup_capture_delete after delete on %s for each row execute function recoup.capture_gone_%s()',
            target, table_id
        );
        execute format(
            'create trigger recoup_capture_key after update on %s for each row when (%s) execute function recoup.capture_gone_%s()',
            target, key_moved, table_id
        );
    end if;
    -- What a session with session_replication_role = replica writes is captured too.
    execute (
        select string_agg(format('alter table %s enable always trigger %I', target, g.tgname), '; ' order by g.tgname)
        from pg_catalog.pg_trigger as g
        where g.tgrelid = target and g.tgname like 'recoup\_capture\_%' and not g.tgisinternal
    );
    if relation.relkind = 'p' then
        perform recoup.capture_table(i.inhrelid::regclass, read_at_export, ours)
        from pg_catalog.pg_inherits as i
        where i.inhparent = target and not exists (select from recoup.captured as c where c.relation = i.inhrelid)
        order by i.inhrelid::regclass::text;
    end if;
    return table_id;
end
$$;

comment on function recoup.capture_table is
    'Captures the changes of a table and of its partitions from now on. backup {"action":"capture"} calls it, and writes the audit log.';

-- Ceases to capture a table and its partitions.
create function recoup.release_table(target regclass) returns void
language plpgsql
set search_path = ''
as $$
declare
    captured record;
begin
    for captured in
        select c.table_id, c.relation
        from recoup.captured as c
        where c.relation = target or c.relation in (select p.relid from pg_catalog.pg_partition_tree(target) as p)
    loop
        execute (
            select string_agg(format('drop trigger %I on %s', g.tgname, captured.relation::regclass), '; ')
            from pg_catalog.pg_trigger as g
            where g.tgrelid = captured.relation and g.tgname like 'recoup\_capture\_%' and not g.tgisinternal
        );
        execute format('drop function recoup.capture_%1$s(), recoup.capture_gone_%1$s()', captured.table_id);
        update recoup.captured_tables as c set released_at = clock_timestamp() where c.id = captured.table_id;
    end loop;
    if not found then
        raise exception 'release table %: it is not captured', target
            using errcode = 'no_data_found', hint = 'select schema_name, table_name from recoup.captured lists those that are.';
    end if;
end
$$;

comment on function recoup.release_table is
    'Ceases to capture the changes of a table and of its partitions. backup {"action":"release"} calls it, and writes the audit log.';

-- All that events, operators and reconcile write. Not what is a cache, or about the work of recoup itself: backups,
-- verifications, captured_tables, row_changes, change_segments.
select recoup.capture_table('recoup.webhook_events', '{payload,payload_raw}', true);

select recoup.capture_table(format('recoup.%I', name)::regclass, '{}', true)
from unnest(array[
    'customers', 'catalog_items', 'payments', 'payment_orders', 'charges', 'refunds', 'orders', 'order_items',
    'enrollments', 'tickets', 'credit_entries', 'coaching_sessions', 'ledger_entries', 'disputes', 'subscriptions',
    'subscription_items', 'invoices', 'invoice_lines', 'invoice_payments', 'invoice_orders', 'connected_accounts',
    'payouts', 'audit_log', 'reconciliations', 'recovery_points', 'backup_expectations'
]) with ordinality as own (name, position)
order by position;

alter table recoup.verifications drop constraint verifications_action;
alter table recoup.verifications add constraint verifications_action
    check (action in ('quick', 'full', 'drill', 'database', 'schema', 'changes'));
