SELECT d.classoid::regclass::text AS class,
       d.objoid::int8 AS oid,
       (
           SELECT format('%I', a.attname)
           FROM pg_catalog.pg_attribute a
           WHERE d.classoid = 'pg_catalog.pg_class'::regclass
             AND d.objsubid <> 0
             AND a.attrelid = d.objoid
             AND a.attnum = d.objsubid
       ) AS column_ident,
       d.description AS text
FROM pg_catalog.pg_description d
WHERE d.objoid >= 16384 OR d.classoid = 'pg_catalog.pg_namespace'::regclass AND d.objoid::int8 = ANY ($1)
ORDER BY d.classoid, d.objoid, d.objsubid
