-- Tables of these schemas whose changes are not captured, and why they cannot be, where that is so. Partitions stand for
-- themselves: what is written to one by its name is captured by its own triggers.
SELECT n.nspname::text AS schema,
       r.relname::text AS name,
       c.relation IS NOT NULL AS switched_off,
       (recoup.capture_key(r.oid)).columns IS NOT NULL AS has_key
FROM pg_catalog.pg_class AS r
JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace
LEFT JOIN recoup.captured AS c ON c.relation = r.oid
WHERE r.relkind IN ('r', 'p')
  AND r.relpersistence <> 't'
  AND n.oid::int8 = ANY ($1)
  AND c.complete IS NOT TRUE
  -- What is about the work of recoup itself.
  AND NOT (n.nspname = 'recoup' AND r.relname = ANY ($2))
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend AS d
      WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = r.oid AND d.deptype = 'e'
  )
ORDER BY n.nspname COLLATE "C", r.relname COLLATE "C"
