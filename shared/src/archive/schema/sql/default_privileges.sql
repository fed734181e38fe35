-- In one schema they add to the global ones; globally they stand in place of the built-in ones.
SELECT r.rolname::text AS role,
       format('%I', r.rolname) AS role_ident,
       n.nspname::text AS schema,
       quote_ident(n.nspname) AS schema_ident,
       CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS'
                            WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' WHEN 'L' THEN 'LARGE OBJECTS' END AS sort,
       (
           SELECT coalesce(
               jsonb_agg(jsonb_build_array(r.rolname, g.rolname, e.privilege_type, e.is_grantable) ORDER BY e.place)
                   FILTER (WHERE g.oid IS NOT NULL OR e.grantee = 0), '[]')
           FROM aclexplode(CASE WHEN cardinality(d.defaclacl) > 0 THEN d.defaclacl END) WITH ORDINALITY AS e (grantor, grantee, privilege_type, is_grantable, place)
           LEFT JOIN pg_catalog.pg_roles g ON g.oid = e.grantee
       ) AS privileges,
       (
           SELECT coalesce(
               jsonb_agg(jsonb_build_array(r.rolname, g.rolname, e.privilege_type, e.is_grantable) ORDER BY e.place)
                   FILTER (WHERE g.oid IS NOT NULL OR e.grantee = 0), '[]')
           FROM aclexplode(CASE WHEN n.oid IS NULL THEN acldefault(x.sort, d.defaclrole) END)
                WITH ORDINALITY AS e (grantor, grantee, privilege_type, is_grantable, place)
           LEFT JOIN pg_catalog.pg_roles g ON g.oid = e.grantee
       ) AS base,
       coalesce(
           (SELECT array_agg(DISTINCT e.privilege_type) FROM aclexplode(acldefault(x.sort, d.defaclrole)) e),
           '{}'
       ) AS every_privilege
FROM pg_catalog.pg_default_acl d
JOIN pg_catalog.pg_roles r ON r.oid = d.defaclrole
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace
CROSS JOIN LATERAL (SELECT CASE d.defaclobjtype WHEN 'S' THEN 's' ELSE d.defaclobjtype END::"char" AS sort) x
WHERE d.defaclnamespace = 0 OR n.oid::int8 = ANY ($1)
ORDER BY n.nspname NULLS FIRST, r.rolname, d.defaclobjtype
