-- Privileges that differ from what the object had from the start: from its owner's defaults, or from what initdb
-- or its extension gave (pg_init_privs). Order is kept: it is the order of grants.
SELECT o.class,
       o.oid::int8 AS oid,
       o.column_ident,
       o.target,
       o.is_system,
       owner.rolname::text AS owner,
       x.items AS privileges,
       b.items AS base,
       coalesce(
           (SELECT array_agg(DISTINCT e.privilege_type) FROM aclexplode(acldefault(o.sort, o.owner)) e),
           '{}'
       ) AS every_privilege
FROM (
    SELECT 'pg_namespace' AS class, 'pg_catalog.pg_namespace'::regclass AS classoid, n.oid, 0 AS number,
           NULL::text AS column_ident, format('SCHEMA %I', n.nspname) AS target, 'n'::"char" AS sort,
           n.nspowner AS owner, n.nspacl AS acl, n.oid AS namespace, n.oid < 16384 AND n.nspname <> 'public' AS is_system
    FROM pg_catalog.pg_namespace n
    UNION ALL
    SELECT 'pg_class', 'pg_catalog.pg_class'::regclass, c.oid, 0, NULL,
           format('%s %I.%I', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, n.nspname, c.relname),
           CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner, c.relacl, n.oid, c.oid < 16384
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    UNION ALL
    SELECT 'pg_class', 'pg_catalog.pg_class'::regclass, c.oid, a.attnum, format('%I', a.attname),
           format('TABLE %I.%I', n.nspname, c.relname), 'c', c.relowner, a.attacl, n.oid, c.oid < 16384
    FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE a.attacl IS NOT NULL AND NOT a.attisdropped
    UNION ALL
    SELECT 'pg_proc', 'pg_catalog.pg_proc'::regclass, p.oid, 0, NULL,
           format('%s %I.%I(%s)', CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END,
                  n.nspname, p.proname, oidvectortypes(p.proargtypes)),
           'f', p.proowner, p.proacl, n.oid, p.oid < 16384
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    UNION ALL
    SELECT 'pg_type', 'pg_catalog.pg_type'::regclass, t.oid, 0, NULL,
           format('TYPE %I.%I', n.nspname, t.typname), 'T', t.typowner, t.typacl, n.oid, t.oid < 16384
    FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    UNION ALL
    SELECT 'pg_language', 'pg_catalog.pg_language'::regclass, l.oid, 0, NULL,
           format('LANGUAGE %I', l.lanname), 'l', l.lanowner, l.lanacl, NULL, l.oid < 16384
    FROM pg_catalog.pg_language l
    UNION ALL
    SELECT 'pg_foreign_server', 'pg_catalog.pg_foreign_server'::regclass, s.oid, 0, NULL,
           format('FOREIGN SERVER %I', s.srvname), 'S', s.srvowner, s.srvacl, NULL, false
    FROM pg_catalog.pg_foreign_server s
    UNION ALL
    SELECT 'pg_foreign_data_wrapper', 'pg_catalog.pg_foreign_data_wrapper'::regclass, w.oid, 0, NULL,
           format('FOREIGN DATA WRAPPER %I', w.fdwname), 'F', w.fdwowner, w.fdwacl, NULL, false
    FROM pg_catalog.pg_foreign_data_wrapper w
) o
JOIN pg_catalog.pg_roles owner ON owner.oid = o.owner
LEFT JOIN pg_catalog.pg_init_privs i ON i.objoid = o.oid AND i.classoid = o.classoid AND i.objsubid = o.number
CROSS JOIN LATERAL (
    SELECT coalesce(i.initprivs, CASE WHEN o.sort <> 'c' THEN acldefault(o.sort, o.owner) END) AS acl
) base
CROSS JOIN LATERAL (
    SELECT coalesce(
        jsonb_agg(jsonb_build_array(g.rolname, r.rolname, e.privilege_type, e.is_grantable) ORDER BY e.place)
            FILTER (WHERE g.oid IS NOT NULL AND (r.oid IS NOT NULL OR e.grantee = 0)), '[]') AS items
    FROM aclexplode(CASE WHEN cardinality(o.acl) > 0 THEN o.acl END) WITH ORDINALITY AS e (grantor, grantee, privilege_type, is_grantable, place)
    LEFT JOIN pg_catalog.pg_roles g ON g.oid = e.grantor
    LEFT JOIN pg_catalog.pg_roles r ON r.oid = e.grantee
) x
CROSS JOIN LATERAL (
    SELECT coalesce(
        jsonb_agg(jsonb_build_array(g.rolname, r.rolname, e.privilege_type, e.is_grantable) ORDER BY e.place)
            FILTER (WHERE g.oid IS NOT NULL AND (r.oid IS NOT NULL OR e.grantee = 0)), '[]') AS items
    FROM aclexplode(CASE WHEN cardinality(base.acl) > 0 THEN base.acl END) WITH ORDINALITY AS e (grantor, grantee, privilege_type, is_grantable, place)
    LEFT JOIN pg_catalog.pg_roles g ON g.oid = e.grantor
    LEFT JOIN pg_catalog.pg_roles r ON r.oid = e.grantee
) b
WHERE o.acl IS NOT NULL
  AND o.acl IS DISTINCT FROM base.acl
  AND (o.namespace IS NULL OR o.namespace::int8 = ANY ($1) OR o.is_system AND i.objoid IS NOT NULL
       OR o.is_system AND o.namespace = 'pg_catalog'::regnamespace)
ORDER BY o.target, o.number
