SELECT r.oid::int8 AS oid,
       r.rulename::text AS name,
       format('%I', r.rulename) AS ident,
       r.ev_class::int8 AS relation,
       c.relkind::text AS relkind,
       n.nspname::text AS schema,
       c.relname::text AS table_name,
       format('%I.%I', n.nspname, c.relname) AS table_ident,
       r.rulename = '_RETURN' AS is_view,
       r.ev_enabled::text AS state,
       CASE WHEN r.rulename <> '_RETURN' THEN pg_get_ruledef(r.oid) END AS definition
FROM pg_catalog.pg_rewrite r
JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.oid::int8 = ANY ($1)
