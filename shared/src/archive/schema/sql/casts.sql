-- Casts live in no schema; those are meant whose types and function are selected, built in or an extension's.
SELECT c.oid::int8 AS oid,
       format_type(c.castsource, NULL) AS source,
       format_type(c.casttarget, NULL) AS target,
       CASE WHEN c.castfunc <> 0 THEN c.castfunc::regprocedure::text END AS function,
       c.castmethod::text AS method,
       c.castcontext::text AS context
FROM pg_catalog.pg_cast c
WHERE c.oid >= 16384
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_cast'::regclass AND d.objid = c.oid AND d.deptype IN ('e', 'i')
  )
  AND NOT EXISTS (
      SELECT
      FROM (
          SELECT 'pg_catalog.pg_type'::regclass AS class, t.oid, t.typnamespace AS namespace
          FROM pg_catalog.pg_type t WHERE t.oid IN (c.castsource, c.casttarget)
          UNION ALL
          SELECT 'pg_catalog.pg_proc'::regclass, p.oid, p.pronamespace
          FROM pg_catalog.pg_proc p WHERE p.oid = c.castfunc
      ) part
      WHERE part.oid >= 16384
        AND NOT part.namespace::int8 = ANY ($1)
        AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_depend d
            WHERE d.classid = part.class AND d.objid = part.oid AND d.deptype = 'e'
        )
  )
