-- Who may do what with a database, as far as it is not what Postgres gives by default. The grantee is empty for everybody.
SELECT CASE WHEN x.grantee = 0 THEN '' ELSE pg_catalog.pg_get_userbyid(x.grantee)::text END AS grantee,
       x.privilege_type AS privilege,
       x.is_grantable AS grantable
FROM pg_catalog.pg_database AS d
CROSS JOIN LATERAL pg_catalog.aclexplode(d.datacl) AS x
WHERE d.oid = $1::int8::oid
ORDER BY 1, 2
