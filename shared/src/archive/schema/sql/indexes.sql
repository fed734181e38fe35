SELECT i.indexrelid::int8 AS oid,
       i.indrelid::int8 AS relation,
       n.nspname::text AS schema,
       c.relname::text AS name,
       format('%I.%I', n.nspname, c.relname) AS ident,
       format('%I', c.relname) AS short_ident,
       tn.nspname::text AS table_schema,
       t.relname::text AS table_name,
       format('%I.%I', tn.nspname, t.relname) AS table_ident,
       t.relkind::text AS table_kind,
       i.indisvalid AS is_valid,
       i.indisclustered AS is_clustered,
       i.indisreplident AS is_replica_identity,
       pg_get_indexdef(i.indexrelid) AS definition,
       ts.spcname::text AS tablespace,
       coalesce(
           (SELECT array_agg(format('%I=%L', o.option_name, o.option_value) ORDER BY o.place)
            FROM pg_options_to_table(c.reloptions) WITH ORDINALITY AS o (option_name, option_value, place)),
           '{}'
       ) AS options,
       coalesce(
           (
               SELECT array_agg(format('%s SET STATISTICS %s', a.attnum, to_jsonb(a) ->> 'attstattarget')
                                ORDER BY a.attnum)
               FROM pg_catalog.pg_attribute a
               WHERE a.attrelid = i.indexrelid AND (to_jsonb(a) ->> 'attstattarget')::int4 >= 0
           ),
           '{}'
       ) AS statistics,
       inh.inhparent::int8 AS parent,
       (
           SELECT format('%I.%I', pn.nspname, p.relname)
           FROM pg_catalog.pg_class p JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
           WHERE p.oid = inh.inhparent
       ) AS parent_ident
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
LEFT JOIN pg_catalog.pg_tablespace ts ON ts.oid = c.reltablespace
LEFT JOIN pg_catalog.pg_inherits inh ON inh.inhrelid = i.indexrelid
WHERE tn.oid::int8 = ANY ($1)
  AND t.relkind IN ('r', 'p', 'm')
