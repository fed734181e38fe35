-- Tables of every sort, views and materialised views.
SELECT c.oid::int8 AS oid,
       n.nspname::text AS schema,
       c.relname::text AS name,
       format('%I.%I', n.nspname, c.relname) AS ident,
       c.relkind::text AS relkind,
       c.relpersistence::text AS persistence,
       c.relispartition AS is_partition,
       c.relispopulated AS is_populated,
       CASE WHEN c.reloftype <> 0 THEN format_type(c.reloftype, NULL) END AS of_type,
       CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END AS partition_key,
       CASE WHEN c.relispartition THEN pg_get_expr(c.relpartbound, c.oid) END AS bound,
       CASE WHEN am.amname <> 'heap' THEN format('%I', am.amname) END AS access_method,
       ts.spcname::text AS tablespace,
       coalesce(
           (
               SELECT array_agg(format('%I.%I', pn.nspname, p.relname) ORDER BY i.inhseqno)
               FROM pg_catalog.pg_inherits i
               JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
               JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
               WHERE i.inhrelid = c.oid
           ),
           '{}'
       ) AS parents,
       coalesce(
           (SELECT array_agg(i.inhparent::int8 ORDER BY i.inhseqno)
            FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid),
           '{}'
       ) AS parent_oids,
       coalesce(
           (SELECT array_agg(format('%I=%L', o.option_name, o.option_value) ORDER BY o.place)
            FROM pg_options_to_table(c.reloptions) WITH ORDINALITY AS o (option_name, option_value, place)),
           '{}'
       ) || coalesce(
           (SELECT array_agg(format('toast.%I=%L', o.option_name, o.option_value) ORDER BY o.place)
            FROM pg_catalog.pg_class tc, pg_options_to_table(tc.reloptions) WITH ORDINALITY AS o (option_name, option_value, place)
            WHERE tc.oid = c.reltoastrelid),
           '{}'
       ) AS options,
       c.relreplident::text AS replica_identity,
       c.relrowsecurity AS row_security,
       c.relforcerowsecurity AS force_row_security,
       CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END AS query,
       fs.srvname::text AS server,
       quote_ident(fs.srvname) AS server_ident,
       coalesce(
           (SELECT array_agg(format('%I %L', o.option_name, o.option_value) ORDER BY o.place)
            FROM pg_options_to_table(ft.ftoptions) WITH ORDINALITY AS o (option_name, option_value, place)),
           '{}'
       ) AS server_options
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
LEFT JOIN pg_catalog.pg_tablespace ts ON ts.oid = c.reltablespace
LEFT JOIN pg_catalog.pg_foreign_table ft ON ft.ftrelid = c.oid
LEFT JOIN pg_catalog.pg_foreign_server fs ON fs.oid = ft.ftserver
WHERE n.oid::int8 = ANY ($1)
  AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_class'::regclass
        AND d.objid = c.oid
        AND d.deptype = 'e'
  )
ORDER BY c.oid
