-- Foreign servers. Their user mappings hold passwords and stay where they are.
SELECT s.oid::int8 AS oid,
       s.srvname::text AS name,
       format('%I', s.srvname) AS ident,
       format('%I', w.fdwname) AS wrapper,
       s.srvtype AS server_type,
       s.srvversion AS server_version,
       coalesce(
           (SELECT array_agg(format('%I %L', o.option_name, o.option_value) ORDER BY o.place)
            FROM pg_options_to_table(s.srvoptions) WITH ORDINALITY AS o (option_name, option_value, place)),
           '{}'
       ) AS options
FROM pg_catalog.pg_foreign_server s
JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw
WHERE cardinality($1::int8[]) >= 0
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_foreign_server'::regclass AND d.objid = s.oid AND d.deptype = 'e'
  )
