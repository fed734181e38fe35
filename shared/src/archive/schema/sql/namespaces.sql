-- The selected schemas. A schema that an extension made comes with its extension.
SELECT n.oid::int8 AS oid,
       n.nspname::text AS name,
       format('%I', n.nspname) AS ident,
       EXISTS (
           SELECT FROM pg_catalog.pg_depend d
           WHERE d.classid = 'pg_catalog.pg_namespace'::regclass
             AND d.objid = n.oid
             AND d.deptype = 'e'
       ) AS of_extension
FROM pg_catalog.pg_namespace n
WHERE n.oid::int8 = ANY ($1)
