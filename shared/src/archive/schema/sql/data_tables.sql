SELECT n.nspname::text AS schema,
       c.relname::text AS name,
       format('%I.%I', n.nspname, c.relname) AS ident,
       c.oid::int8 AS oid,
       coalesce(a.names, '{}') AS column_names,
       coalesce(a.idents, '{}') AS column_idents,
       coalesce(a.types, '{}') AS column_types,
       coalesce(a.not_nulls, '{}') AS column_not_nulls,
       coalesce(a.has_identity_always, false) AS has_identity_always,
       c.relpages,
       c.reltuples,
       coalesce(pg_relation_size(c.oid), 0) / current_setting('block_size')::int8 AS pages,
       coalesce(
           (
               SELECT array_agg(ka.attname::text ORDER BY k.place)
               FROM pg_catalog.pg_constraint pk
               CROSS JOIN LATERAL unnest(pk.conkey) WITH ORDINALITY AS k (number, place)
               JOIN pg_catalog.pg_attribute ka ON ka.attrelid = c.oid AND ka.attnum = k.number
               WHERE pk.conrelid = c.oid AND pk.contype = 'p'
           ),
           '{}'
       ) AS primary_key,
       c.relrowsecurity AS row_security,
       c.relforcerowsecurity AS force_row_security,
       c.relispartition AS is_partition,
       c.relpersistence = 'u' AS is_unlogged
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (
    SELECT array_agg(a.attname::text ORDER BY a.attnum) AS names,
           array_agg(format('%I', a.attname) ORDER BY a.attnum) AS idents,
           array_agg(format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum) AS types,
           array_agg(a.attnotnull ORDER BY a.attnum) AS not_nulls,
           bool_or(a.attidentity = 'a') AS has_identity_always
    FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
) a ON true
WHERE n.oid::int8 = ANY ($1)
  AND c.relkind = 'r'
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_class'::regclass
        AND d.objid = c.oid
        AND d.deptype = 'e'
  )
ORDER BY n.nspname, c.relname
