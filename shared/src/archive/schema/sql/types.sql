-- User-made types, without the row types of relations and without array and multirange types,
-- which come with the type they belong to.
SELECT t.oid::int8 AS oid,
       n.nspname::text AS schema,
       t.typname::text AS name,
       format('%I.%I', n.nspname, t.typname) AS ident,
       t.typtype::text AS typtype,
       t.typisdefined AS is_defined,
       t.typrelid::int8 AS relation,
       format_type(t.typbasetype, t.typtypmod) AS base_type,
       t.typnotnull AS not_null,
       nn.oid::int8 AS not_null_oid,
       nn.conname::text AS not_null_name,
       quote_ident(nn.conname) AS not_null_ident,
       CASE WHEN t.typdefaultbin IS NOT NULL THEN pg_get_expr(t.typdefaultbin, 0)
            WHEN t.typtype = 'd' AND t.typdefault IS NOT NULL THEN quote_literal(t.typdefault)
       END AS default_expr,
       (
           SELECT format('%I.%I', cn.nspname, co.collname)
           FROM pg_catalog.pg_collation co
           JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace
           JOIN pg_catalog.pg_type base ON base.oid = t.typbasetype
           WHERE co.oid = t.typcollation AND t.typcollation <> base.typcollation
       ) AS collation,
       coalesce(
           (
               SELECT array_agg(quote_literal(e.enumlabel) ORDER BY e.enumsortorder)
               FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid
           ),
           '{}'
       ) AS labels,
       coalesce(
           (
               SELECT array_agg(
                   format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod))
                   || CASE WHEN a.attcollation <> 0 AND a.attcollation <> at.typcollation
                           THEN format(' COLLATE %I.%I', cn.nspname, co.collname) ELSE '' END
                   ORDER BY a.attnum)
               FROM pg_catalog.pg_attribute a
               JOIN pg_catalog.pg_type at ON at.oid = a.atttypid
               LEFT JOIN pg_catalog.pg_collation co ON co.oid = a.attcollation
               LEFT JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace
               WHERE a.attrelid = t.typrelid AND t.typtype = 'c' AND a.attnum > 0 AND NOT a.attisdropped
           ),
           '{}'
       ) AS attributes,
       format_type(r.rngsubtype, NULL) AS subtype,
       (
           SELECT format('%I.%I', on_.nspname, o.opcname)
           FROM pg_catalog.pg_opclass o JOIN pg_catalog.pg_namespace on_ ON on_.oid = o.opcnamespace
           WHERE o.oid = r.rngsubopc AND NOT o.opcdefault
       ) AS subtype_opclass,
       (
           SELECT format('%I.%I', cn.nspname, co.collname)
           FROM pg_catalog.pg_collation co
           JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace
           JOIN pg_catalog.pg_type st ON st.oid = r.rngsubtype
           WHERE co.oid = r.rngcollation AND r.rngcollation <> st.typcollation
       ) AS range_collation,
       coalesce(r.rngcanonical <> 0, false) AS has_canonical,
       (
           SELECT format('%I.%I', pn.nspname, p.proname)
           FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace pn ON pn.oid = p.pronamespace
           WHERE p.oid = r.rngsubdiff
       ) AS subtype_diff,
       (
           SELECT format('%I.%I', mn.nspname, m.typname)
           FROM pg_catalog.pg_type m JOIN pg_catalog.pg_namespace mn ON mn.oid = m.typnamespace
           WHERE m.oid = r.rngmultitypid
       ) AS multirange_ident
FROM pg_catalog.pg_type t
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
LEFT JOIN pg_catalog.pg_constraint nn ON nn.contypid = t.oid AND nn.contype = 'n'
LEFT JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid
WHERE n.oid::int8 = ANY ($1)
  AND (t.typrelid = 0 OR c.relkind = 'c')
  AND t.typtype <> 'm'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.typarray = t.oid)
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e'
  )
