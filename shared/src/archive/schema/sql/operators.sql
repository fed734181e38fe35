SELECT o.oid::int8 AS oid,
       n.nspname::text AS schema,
       o.oprname::text AS name,
       format('%I.%s', n.nspname, o.oprname) AS ident,
       o.oprcode::text AS function,
       CASE WHEN o.oprleft <> 0 THEN format_type(o.oprleft, NULL) END AS left_type,
       CASE WHEN o.oprright <> 0 THEN format_type(o.oprright, NULL) END AS right_type,
       (SELECT format('OPERATOR(%I.%s)', x.nspname, c.oprname)
        FROM pg_catalog.pg_operator c JOIN pg_catalog.pg_namespace x ON x.oid = c.oprnamespace
        WHERE c.oid = o.oprcom) AS commutator,
       (SELECT format('OPERATOR(%I.%s)', x.nspname, c.oprname)
        FROM pg_catalog.pg_operator c JOIN pg_catalog.pg_namespace x ON x.oid = c.oprnamespace
        WHERE c.oid = o.oprnegate) AS negator,
       nullif(o.oprrest::text, '-') AS restrict,
       nullif(o.oprjoin::text, '-') AS join,
       o.oprcanhash AS hashes,
       o.oprcanmerge AS merges
FROM pg_catalog.pg_operator o
JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
WHERE n.oid::int8 = ANY ($1)
  AND o.oprcode <> 0
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_operator'::regclass AND d.objid = o.oid AND d.deptype = 'e'
  )
