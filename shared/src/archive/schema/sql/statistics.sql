SELECT s.oid::int8 AS oid,
       n.nspname::text AS schema,
       s.stxname::text AS name,
       format('%I.%I', n.nspname, s.stxname) AS ident,
       format('%I.%I', tn.nspname, t.relname) AS table_ident,
       pg_get_statisticsobjdef(s.oid) AS definition,
       nullif((to_jsonb(s) ->> 'stxstattarget')::int4, -1) AS target
FROM pg_catalog.pg_statistic_ext s
JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace
JOIN pg_catalog.pg_class t ON t.oid = s.stxrelid
JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
WHERE n.oid::int8 = ANY ($1)
