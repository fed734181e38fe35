-- Triggers that someone made. A partition's copy of its parent's trigger comes with the parent's, and is
-- listed only if its state differs from the parent's (`is_clone`).
SELECT g.oid::int8 AS oid,
       g.tgname::text AS name,
       format('%I', g.tgname) AS ident,
       g.tgrelid::int8 AS relation,
       n.nspname::text AS schema,
       c.relname::text AS table_name,
       format('%I.%I', n.nspname, c.relname) AS table_ident,
       c.relkind::text AS relkind,
       g.tgenabled::text AS state,
       g.tgparentid <> 0 AS is_clone,
       pg_get_triggerdef(g.oid) AS definition
FROM pg_catalog.pg_trigger g
JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_proc p ON p.oid = g.tgfoid
LEFT JOIN pg_catalog.pg_trigger parent ON parent.oid = g.tgparentid
WHERE n.oid::int8 = ANY ($1)
  AND (
      NOT g.tgisinternal AND g.tgparentid = 0
      OR g.tgparentid <> 0
         AND g.tgenabled <> parent.tgenabled
         AND NOT (p.pronamespace = 'pg_catalog'::regnamespace AND p.proname LIKE 'RI\_%')
  )
