-- Columns that only some versions have are read through to_jsonb: colliculocale (15, 16), colllocale (17),
-- collicurules (16).
SELECT c.oid::int8 AS oid,
       n.nspname::text AS schema,
       c.collname::text AS name,
       format('%I.%I', n.nspname, c.collname) AS ident,
       c.collprovider::text AS provider,
       c.collisdeterministic AS is_deterministic,
       c.collcollate::text AS collate,
       c.collctype::text AS ctype,
       coalesce(to_jsonb(c) ->> 'colllocale', to_jsonb(c) ->> 'colliculocale') AS locale,
       to_jsonb(c) ->> 'collicurules' AS rules
FROM pg_catalog.pg_collation c
JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace
WHERE n.oid::int8 = ANY ($1)
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_collation'::regclass AND d.objid = c.oid AND d.deptype = 'e'
  )
