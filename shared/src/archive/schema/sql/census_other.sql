-- What a definition in schemas does not cover, by sort and name.
SELECT 'user mapping' AS kind,
       format('%s on %s', m.usename, m.srvname) AS name,
       'user mappings hold passwords and are not copied' AS why
FROM pg_catalog.pg_user_mappings m
UNION ALL
SELECT 'subscription', s.subname::text, 'a restored database must not start to replicate by itself'
FROM pg_catalog.pg_subscription s
WHERE s.subdbid = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())
UNION ALL
SELECT 'large objects', count(*)::text, 'large objects and their data are not copied'
FROM pg_catalog.pg_largeobject_metadata
HAVING count(*) > 0
UNION ALL
SELECT 'security label', l.objtype || ' ' || l.objname, format('label of provider %s', l.provider)
FROM pg_catalog.pg_seclabels l
WHERE l.objoid >= 16384
UNION ALL
SELECT 'database setting',
       concat('role ' || r.rolname || ': ', setting.text),
       'settings of a database are not part of its schemas; set them on the target'
FROM pg_catalog.pg_db_role_setting s
JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase AND d.datname = current_database()
LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
-- The name only: a value may be a secret.
CROSS JOIN LATERAL (SELECT split_part(c, '=', 1) AS text FROM unnest(s.setconfig) AS c) setting
UNION ALL
SELECT 'unselected schema', n.nspname::text, 'it is not in the list of schemas'
FROM pg_catalog.pg_namespace n
WHERE n.nspname !~ '^pg_'
  AND n.nspname <> 'information_schema'
  AND NOT n.oid::int8 = ANY ($1)
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e'
  )
