-- Casts live in no schema; those are meant that a type or the function of a selected schema takes part in.
SELECT c.oid::int8 AS oid,
       format_type(c.castsource, NULL) AS source,
       format_type(c.casttarget, NULL) AS target,
       CASE WHEN c.castfunc <> 0 THEN c.castfunc::regprocedure::text END AS function,
       c.castmethod::text AS method,
       c.castcontext::text AS context
FROM pg_catalog.pg_cast c
JOIN pg_catalog.pg_type s ON s.oid = c.castsource
JOIN pg_catalog.pg_type t ON t.oid = c.casttarget
LEFT JOIN pg_catalog.pg_proc p ON p.oid = c.castfunc
WHERE c.oid >= 16384
  AND (
      s.typnamespace::int8 = ANY ($1)
      OR t.typnamespace::int8 = ANY ($1)
      OR p.pronamespace::int8 = ANY ($1)
  )
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_cast'::regclass AND d.objid = c.oid AND d.deptype IN ('e', 'i')
  )
