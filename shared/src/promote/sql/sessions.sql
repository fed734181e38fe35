-- Who is in a database besides us. Postgres itself ends the workers of autovacuum when their database is renamed: they are
-- left out, and are known by having no role where we may not see what a process is.
SELECT a.pid,
       coalesce(a.usename::text, '') AS role,
       coalesce(a.application_name, '') AS application,
       coalesce(a.backend_type, 'session') AS kind,
       (SELECT r.rolsuper FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user)
       OR (
           NOT coalesce((SELECT r.rolsuper FROM pg_catalog.pg_roles AS r WHERE r.oid = a.usesysid), true)
           AND (
               pg_catalog.pg_has_role(a.usesysid, 'USAGE')
               OR pg_catalog.pg_has_role(current_user, 'pg_signal_backend', 'USAGE')
           )
       ) AS may_end
FROM pg_catalog.pg_stat_activity AS a
WHERE a.datid = $1::int8::oid
  AND a.pid <> pg_catalog.pg_backend_pid()
  AND coalesce(a.backend_type, CASE WHEN a.usesysid IS NULL THEN 'autovacuum worker' ELSE 'session' END)
      <> 'autovacuum worker'
ORDER BY a.pid
