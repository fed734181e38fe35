-- Every database that is not a template, with what there is to know before it is renamed or dropped.
SELECT d.oid::int8 AS oid,
       d.datname::text AS name,
       pg_catalog.shobj_description(d.oid, 'pg_database') AS comment,
       pg_catalog.pg_get_userbyid(d.datdba)::text AS owner,
       pg_catalog.pg_has_role(d.datdba, 'USAGE') AS is_ours,
       d.datallowconn AS lets_in,
       d.datconnlimit AS connection_limit,
       (SELECT count(*) FROM pg_catalog.pg_prepared_xacts AS x WHERE x.database = d.datname) AS prepared,
       coalesce(
           (SELECT array_agg(s.slot_name::text ORDER BY s.slot_name)
            FROM pg_catalog.pg_replication_slots AS s WHERE s.database = d.datname),
           '{}'
       ) AS slots
FROM pg_catalog.pg_database AS d
WHERE NOT d.datistemplate
ORDER BY d.datname
