-- For each sequence the query that reads it. pg_sequence_last_value would do for all at once, but is null for
-- a sequence that was set and not called since.
SELECT c.oid::int8,
       format(
           'SELECT %L::text AS schema, %L::text AS name, %L::text AS ident, last_value, is_called FROM %I.%I',
           n.nspname, c.relname, format('%I.%I', n.nspname, c.relname), n.nspname, c.relname
       )
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.oid::int8 = ANY ($1)
  AND c.relkind = 'S'
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_class'::regclass
        AND d.objid = c.oid
        AND d.deptype = 'e'
  )
ORDER BY n.nspname, c.relname
