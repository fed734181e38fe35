-- `owner_*` is the column that a serial or identity sequence belongs to; deptype `i` is identity.
SELECT c.oid::int8 AS oid,
       n.nspname::text AS schema,
       c.relname::text AS name,
       format('%I.%I', n.nspname, c.relname) AS ident,
       c.relpersistence::text AS persistence,
       format_type(s.seqtypid, NULL) AS type_name,
       s.seqstart AS start,
       s.seqincrement AS increment,
       s.seqmin AS minimum,
       s.seqmax AS maximum,
       s.seqcache AS cache,
       s.seqcycle AS cycle,
       o.relation::int8 AS owner_relation,
       o.number::int4 AS owner_column,
       o.ident AS owner_ident,
       o.column_ident AS owner_column_ident,
       -- Before 15 a sequence was logged whatever its table was.
       CASE WHEN current_setting('server_version_num')::int4 >= 150000 THEN o.persistence END AS owner_persistence,
       coalesce(o.is_identity, false) AS is_identity
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_sequence s ON s.seqrelid = c.oid
LEFT JOIN LATERAL (
    SELECT t.oid AS relation, a.attnum AS number, d.deptype = 'i' AS is_identity,
           format('%I.%I', tn.nspname, t.relname) AS ident,
           format('%I', a.attname) AS column_ident,
           t.relpersistence::text AS persistence
    FROM pg_catalog.pg_depend d
    JOIN pg_catalog.pg_class t ON t.oid = d.refobjid
    JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
    JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
    WHERE d.classid = 'pg_catalog.pg_class'::regclass
      AND d.objid = c.oid
      AND d.refclassid = 'pg_catalog.pg_class'::regclass
      AND d.refobjsubid > 0
      AND d.deptype IN ('a', 'i')
) o ON true
WHERE n.oid::int8 = ANY ($1)
  AND c.relkind = 'S'
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_class'::regclass
        AND d.objid = c.oid
        AND d.deptype = 'e'
  )
