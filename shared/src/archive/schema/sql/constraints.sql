-- Check, foreign key, key and exclusion constraints of tables and domains. What belongs to a parent's
-- foreign key is made with the parent's; a key of a partition is made on its own and then attached.
SELECT k.oid::int8 AS oid,
       k.conname::text AS name,
       format('%I', k.conname) AS ident,
       k.contype::text AS contype,
       k.conrelid::int8 AS relation,
       k.contypid::int8 AS domain,
       k.conindid::int8 AS index,
       c.relkind::text AS relkind,
       coalesce(c.relispartition, false) AS on_partition,
       n.nspname::text AS schema,
       coalesce(c.relname, t.typname)::text AS owner_name,
       format('%I.%I', n.nspname, coalesce(c.relname, t.typname)) AS owner_ident,
       k.conislocal AS is_local,
       k.convalidated AS is_valid,
       pg_get_constraintdef(k.oid) AS definition
FROM pg_catalog.pg_constraint k
LEFT JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
LEFT JOIN pg_catalog.pg_type t ON t.oid = k.contypid
JOIN pg_catalog.pg_namespace n ON n.oid = coalesce(c.relnamespace, t.typnamespace)
WHERE n.oid::int8 = ANY ($1)
  AND (k.contype IN ('c', 'p', 'u', 'x') OR k.contype = 'f' AND k.conparentid = 0)
ORDER BY k.conrelid, k.contypid, k.conname
