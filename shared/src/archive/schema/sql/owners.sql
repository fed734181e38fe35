-- Who owns what. A default owner (that of `public`) is none of ours.
SELECT o.class, o.oid::int8 AS oid, r.rolname::text AS role, format('%I', r.rolname) AS role_ident
FROM (
    SELECT 'pg_namespace' AS class, n.oid, n.nspowner AS owner
    FROM pg_catalog.pg_namespace n
    WHERE n.oid::int8 = ANY ($1)
      AND NOT (
          n.nspname = 'public'
          AND n.nspowner = CASE WHEN current_setting('server_version_num')::int4 >= 150000
                                THEN 'pg_database_owner'::regrole ELSE 10 END
      )
    UNION ALL
    SELECT 'pg_class', c.oid, c.relowner FROM pg_catalog.pg_class c
    WHERE c.relnamespace::int8 = ANY ($1) AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    UNION ALL
    SELECT 'pg_type', t.oid, t.typowner FROM pg_catalog.pg_type t
    WHERE t.typnamespace::int8 = ANY ($1) AND t.typtype IN ('c', 'd', 'e', 'r')
    UNION ALL
    SELECT 'pg_proc', p.oid, p.proowner FROM pg_catalog.pg_proc p WHERE p.pronamespace::int8 = ANY ($1)
    UNION ALL
    SELECT 'pg_operator', o.oid, o.oprowner FROM pg_catalog.pg_operator o WHERE o.oprnamespace::int8 = ANY ($1)
    UNION ALL
    SELECT 'pg_opclass', o.oid, o.opcowner FROM pg_catalog.pg_opclass o WHERE o.opcnamespace::int8 = ANY ($1)
    UNION ALL
    SELECT 'pg_opfamily', o.oid, o.opfowner FROM pg_catalog.pg_opfamily o WHERE o.opfnamespace::int8 = ANY ($1)
    UNION ALL
    SELECT 'pg_collation', c.oid, c.collowner FROM pg_catalog.pg_collation c WHERE c.collnamespace::int8 = ANY ($1)
    UNION ALL
    SELECT 'pg_ts_dict', d.oid, d.dictowner FROM pg_catalog.pg_ts_dict d WHERE d.dictnamespace::int8 = ANY ($1)
    UNION ALL
    SELECT 'pg_ts_config', c.oid, c.cfgowner FROM pg_catalog.pg_ts_config c WHERE c.cfgnamespace::int8 = ANY ($1)
    UNION ALL
    SELECT 'pg_statistic_ext', s.oid, s.stxowner FROM pg_catalog.pg_statistic_ext s
    WHERE s.stxnamespace::int8 = ANY ($1)
    UNION ALL
    SELECT 'pg_foreign_server', s.oid, s.srvowner FROM pg_catalog.pg_foreign_server s
    UNION ALL
    SELECT 'pg_event_trigger', e.oid, e.evtowner FROM pg_catalog.pg_event_trigger e
) o
JOIN pg_catalog.pg_roles r ON r.oid = o.owner
