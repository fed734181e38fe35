-- The sequences that number the rows of these tables: a column's own, and those that a default takes its value from.
SELECT sn.nspname::text AS schema,
       s.relname::text AS name,
       q.seqincrement > 0 AS ascending,
       q.seqmin AS lowest,
       q.seqmax AS highest,
       c.oid::int8 AS relation,
       a.attname::text AS column_name
FROM (
    SELECT d.objid AS sequence, d.refobjid AS relation, d.refobjsubid AS number
    FROM pg_catalog.pg_depend AS d
    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
      AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
    UNION
    SELECT d.refobjid, f.adrelid, f.adnum
    FROM pg_catalog.pg_depend AS d
    JOIN pg_catalog.pg_attrdef AS f ON f.oid = d.objid
    WHERE d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
) AS used
JOIN pg_catalog.pg_class AS s ON s.oid = used.sequence AND s.relkind = 'S'
JOIN pg_catalog.pg_namespace AS sn ON sn.oid = s.relnamespace
JOIN pg_catalog.pg_sequence AS q ON q.seqrelid = s.oid
JOIN pg_catalog.pg_class AS c ON c.oid = used.relation
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = used.number
WHERE c.oid::int8 = ANY ($1)
  AND a.atttypid IN ('pg_catalog.int2'::regtype, 'pg_catalog.int4'::regtype, 'pg_catalog.int8'::regtype)
ORDER BY sn.nspname, s.relname, c.oid, a.attnum
