-- Every sequence with each numeric column that takes its values: as its own (serial, identity) or as its default. $1 is
-- the schema of the restore itself.
SELECT
    format('"%s"."%s"', replace(n.nspname, '"', '""'), replace(s.relname, '"', '""')) AS sequence,
    taker.table,
    taker.column,
    q.seqincrement < 0 AS goes_down,
    q.seqmin AS least,
    q.seqmax AS most
FROM pg_catalog.pg_sequence AS q
JOIN pg_catalog.pg_class AS s ON s.oid = q.seqrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = s.relnamespace
LEFT JOIN LATERAL (
    SELECT DISTINCT
        format('"%s"."%s"', replace(tn.nspname, '"', '""'), replace(t.relname, '"', '""')) AS "table",
        format('"%s"', replace(a.attname, '"', '""')) AS "column"
    FROM (
        SELECT d.refobjid AS relation, d.refobjsubid AS number
        FROM pg_catalog.pg_depend AS d
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = s.oid
            AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
        UNION
        SELECT f.adrelid, f.adnum
        FROM pg_catalog.pg_depend AS d
        JOIN pg_catalog.pg_attrdef AS f ON f.oid = d.objid
        WHERE d.classid = 'pg_catalog.pg_attrdef'::regclass
            AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = s.oid
    ) AS uses
    JOIN pg_catalog.pg_class AS t ON t.oid = uses.relation
    JOIN pg_catalog.pg_namespace AS tn ON tn.oid = t.relnamespace
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = uses.relation AND a.attnum = uses.number
    WHERE a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'numeric'::regtype)
) AS taker ON true
WHERE n.nspname <> $1
ORDER BY 1, 2, 3
