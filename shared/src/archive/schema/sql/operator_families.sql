-- Families and classes. A family's loose members are those that belong to no class.
SELECT f.oid::int8 AS oid,
       0::int8 AS family,
       n.nspname::text AS schema,
       f.opfname::text AS name,
       format('%I.%I', n.nspname, f.opfname) AS ident,
       format('%I', am.amname) AS method,
       NULL::text AS family_ident,
       NULL::text AS input_type,
       NULL::text AS key_type,
       false AS is_default
FROM pg_catalog.pg_opfamily f
JOIN pg_catalog.pg_namespace n ON n.oid = f.opfnamespace
JOIN pg_catalog.pg_am am ON am.oid = f.opfmethod
WHERE n.oid::int8 = ANY ($1)
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_opfamily'::regclass AND d.objid = f.oid AND d.deptype = 'e'
  )
UNION ALL
SELECT c.oid::int8,
       c.opcfamily::int8,
       n.nspname::text,
       c.opcname::text,
       format('%I.%I', n.nspname, c.opcname),
       format('%I', am.amname),
       format('%I.%I', fn.nspname, f.opfname),
       format_type(c.opcintype, NULL),
       CASE WHEN c.opckeytype <> 0 THEN format_type(c.opckeytype, NULL) END,
       c.opcdefault
FROM pg_catalog.pg_opclass c
JOIN pg_catalog.pg_namespace n ON n.oid = c.opcnamespace
JOIN pg_catalog.pg_am am ON am.oid = c.opcmethod
JOIN pg_catalog.pg_opfamily f ON f.oid = c.opcfamily
JOIN pg_catalog.pg_namespace fn ON fn.oid = f.opfnamespace
WHERE n.oid::int8 = ANY ($1)
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_opclass'::regclass AND d.objid = c.oid AND d.deptype = 'e'
  )
