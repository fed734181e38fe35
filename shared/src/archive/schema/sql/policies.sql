SELECT p.oid::int8 AS oid,
       p.polname::text AS name,
       format('%I', p.polname) AS ident,
       p.polrelid::int8 AS relation,
       n.nspname::text AS schema,
       c.relname::text AS table_name,
       format('%I.%I', n.nspname, c.relname) AS table_ident,
       p.polpermissive AS is_permissive,
       p.polcmd::text AS command,
       coalesce(
           (SELECT array_agg(r.rolname::text ORDER BY r.rolname)
            FROM pg_catalog.pg_roles r WHERE r.oid = ANY (p.polroles)),
           '{}'
       ) AS roles,
       coalesce(
           (SELECT array_agg(format('%I', r.rolname) ORDER BY r.rolname)
            FROM pg_catalog.pg_roles r WHERE r.oid = ANY (p.polroles)),
           '{}'
       ) AS role_idents,
       0 = ANY (p.polroles) AS is_public,
       pg_get_expr(p.polqual, p.polrelid) AS using_expr,
       pg_get_expr(p.polwithcheck, p.polrelid) AS check_expr
FROM pg_catalog.pg_policy p
JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.oid::int8 = ANY ($1)
