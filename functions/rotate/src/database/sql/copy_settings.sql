-- Statements that give role $2 the limit and the settings of role $1, for all databases and for single ones.
-- Lists of names are kept quoted as they are written; everything else is a text (as pg_dumpall does it).
with base as (select oid, rolconnlimit from pg_catalog.pg_roles where rolname = $1),
settings as (
    select
        database.datname,
        split_part(entry.setting, '=', 1) as name,
        substr(entry.setting, strpos(entry.setting, '=') + 1) as value
    from base
    join pg_catalog.pg_db_role_setting as kept on kept.setrole = base.oid
    left join pg_catalog.pg_database as database on database.oid = kept.setdatabase
    cross join lateral unnest(kept.setconfig) as entry (setting)
)
select format('alter role %I connection limit %s', $2::text, rolconnlimit) as statement
from base
union all
select format(
    'alter role %I%s set %I = %s',
    $2::text,
    case when datname is null then '' else format(' in database %I', datname) end,
    name,
    case
        when name in ('search_path', 'temp_tablespaces', 'local_preload_libraries', 'session_preload_libraries') then value
        else quote_literal(value)
    end
)
from settings
where name <> 'role'
