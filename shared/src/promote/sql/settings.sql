-- What is set for a database, and for a role in it. The role is empty where it is set for everybody.
SELECT coalesce(r.rolname::text, '') AS role, split_part(s.setting, '=', 1) AS name,
       substr(s.setting, strpos(s.setting, '=') + 1) AS value
FROM pg_catalog.pg_db_role_setting AS d
CROSS JOIN LATERAL unnest(d.setconfig) WITH ORDINALITY AS s (setting, place)
LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = d.setrole
WHERE d.setdatabase = $1::int8::oid AND (d.setrole = 0 OR r.oid IS NOT NULL)
ORDER BY 1, s.place
