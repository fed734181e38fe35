-- Every table of the database: whether it is wanted ($1, names as SQL), needed by one that is, or neither. $2 is the
-- schema of the restore itself.
WITH RECURSIVE wanted (oid) AS (
    SELECT to_regclass(n.name)::oid FROM unnest($1::text[]) AS n (name)
    UNION
    -- A name stands for partitions and inheritance children too.
    SELECT i.inhrelid
    FROM pg_catalog.pg_inherits AS i
    JOIN wanted AS w ON i.inhparent = w.oid
), needed (classid, objid) AS (
    SELECT 'pg_catalog.pg_class'::regclass::oid, oid FROM wanted
    UNION
    SELECT next.classid, next.objid
    FROM needed AS n
    CROSS JOIN LATERAL (
        SELECT d.refclassid, d.refobjid
        FROM pg_catalog.pg_depend AS d
        WHERE d.classid = n.classid AND d.objid = n.objid
        UNION ALL
        -- Defaults and checks hang on their table, and need functions and sequences of their own.
        SELECT 'pg_catalog.pg_attrdef'::regclass::oid, a.oid
        FROM pg_catalog.pg_attrdef AS a
        WHERE n.classid = 'pg_catalog.pg_class'::regclass AND a.adrelid = n.objid
        UNION ALL
        SELECT 'pg_catalog.pg_constraint'::regclass::oid, c.oid
        FROM pg_catalog.pg_constraint AS c
        WHERE (n.classid = 'pg_catalog.pg_class'::regclass AND c.conrelid = n.objid)
            OR (n.classid = 'pg_catalog.pg_type'::regclass AND c.contypid = n.objid)
    ) AS next (classid, objid)
)
SELECT
    s.nspname::text AS schema,
    c.relname::text AS name,
    format('%I.%I', s.nspname, c.relname) AS ident,
    c.relkind = 'f' AS is_foreign,
    CASE
        WHEN c.oid IN (SELECT w.oid FROM wanted AS w) THEN 'wanted'
        WHEN EXISTS (
            SELECT FROM needed AS n WHERE n.classid = 'pg_catalog.pg_class'::regclass AND n.objid = c.oid
        ) THEN 'needed'
        ELSE 'unwanted'
    END AS role
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS s ON s.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f')
    AND s.nspname NOT IN ('pg_catalog', 'information_schema', $2)
    AND s.nspname !~ '^pg_(toast|temp)'
    -- An extension's tables go and stay with it.
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend AS d
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
    )
