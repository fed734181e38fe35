-- Who needs whom, among objects made after initdb. `e` rows are extension membership.
SELECT d.classid::regclass::text AS class,
       d.objid::int8 AS oid,
       d.refclassid::regclass::text AS ref_class,
       d.refobjid::int8 AS ref_oid,
       d.deptype::text AS deptype
FROM pg_catalog.pg_depend d
WHERE d.objid >= 16384
  AND (d.refobjid >= 16384 OR d.refclassid = 'pg_catalog.pg_namespace'::regclass)
  AND cardinality($1::int8[]) >= 0
GROUP BY 1, 2, 3, 4, 5
ORDER BY 1, 2, 3, 4, 5
