-- The columns of table $1 (a name as SQL), how each is compared, and the tables that it is a partition of, itself first.
SELECT
    a.attname::text AS name,
    a.attgenerated = '' AS is_stored,
    r.relkind = 'p' AS is_partitioned,
    coalesce(
        -- A type of an extension has its own equality, which no search_path finds here.
        (
            SELECT format('OPERATOR(%I.%s)', s.nspname, o.oprname)
            FROM pg_catalog.pg_opclass AS c
            JOIN pg_catalog.pg_am AS m ON m.oid = c.opcmethod AND m.amname = 'btree'
            JOIN pg_catalog.pg_amop AS p
                ON p.amopfamily = c.opcfamily AND p.amopstrategy = 3
                AND p.amoplefttype = c.opcintype AND p.amoprighttype = c.opcintype
            JOIN pg_catalog.pg_operator AS o ON o.oid = p.amopopr
            JOIN pg_catalog.pg_namespace AS s ON s.oid = o.oprnamespace
            WHERE c.opcdefault AND c.opcintype = CASE WHEN t.typbasetype = 0 THEN t.oid ELSE t.typbasetype END
        ),
        'OPERATOR(pg_catalog.=)'
    ) AS equal,
    ARRAY(
        SELECT format('"%s"."%s"', replace(n.nspname, '"', '""'), replace(c.relname, '"', '""'))
        FROM pg_catalog.pg_partition_ancestors($1::regclass) WITH ORDINALITY AS p (relation, place)
        JOIN pg_catalog.pg_class AS c ON c.oid = p.relation
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        ORDER BY p.place
    ) AS ancestors
FROM pg_catalog.pg_attribute AS a
JOIN pg_catalog.pg_class AS r ON r.oid = a.attrelid
JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
