-- pg_sequence_last_value is null for a sequence that was never called, also after setval(…, false), whose
-- value it hides; the sequence itself tells. query_to_xml reads them all in one statement.
SELECT n.nspname::text AS schema,
       c.relname::text AS name,
       format('%I.%I', n.nspname, c.relname) AS ident,
       (xpath('/row/last_value/text()', x.value))[1]::text::int8 AS last_value,
       (xpath('/row/is_called/text()', x.value))[1]::text::bool AS is_called
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
    SELECT query_to_xml(format('SELECT last_value, is_called FROM %I.%I', n.nspname, c.relname), false, true, '') AS value
) x
WHERE n.oid::int8 = ANY ($1)
  AND c.relkind = 'S'
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_class'::regclass
        AND d.objid = c.oid
        AND d.deptype = 'e'
  )
ORDER BY n.nspname, c.relname
