-- Objects below 16384 are made by initdb: every database has them already.
SELECT e.oid::int8 AS oid,
       e.extname::text AS name,
       format('%I', e.extname) AS ident,
       n.nspname::text AS schema,
       format('%I', n.nspname) AS schema_ident,
       n.oid::int8 AS schema_oid,
       n.oid::int8 = ANY ($1) AS schema_selected,
       n.oid < 16384 OR EXISTS (
           SELECT FROM pg_catalog.pg_depend d
           WHERE d.classid = 'pg_catalog.pg_namespace'::regclass
             AND d.objid = n.oid
             AND d.deptype = 'e'
       ) AS schema_comes_along,
       coalesce(
           (SELECT array_agg(t::regclass::text ORDER BY t::regclass::text) FROM unnest(e.extconfig) AS t),
           '{}'
       ) AS config_tables
FROM pg_catalog.pg_extension e
JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
WHERE e.oid >= 16384
