-- Which object a type that has no definition of its own stands for: the row type of a relation,
-- an array type, a multirange type. `owner_class` is the catalog of that object.
SELECT t.oid::int8 AS oid, 'pg_class'::text AS owner_class, c.oid::int8 AS owner
FROM pg_catalog.pg_type t
JOIN pg_catalog.pg_class c ON c.oid = t.typrelid AND c.relkind <> 'c'
WHERE t.typnamespace::int8 = ANY ($1)
UNION ALL
SELECT e.typarray::int8, 'pg_type', e.oid::int8
FROM pg_catalog.pg_type e
WHERE e.typarray <> 0 AND e.typnamespace::int8 = ANY ($1)
UNION ALL
SELECT r.rngmultitypid::int8, 'pg_type', r.rngtypid::int8
FROM pg_catalog.pg_range r
JOIN pg_catalog.pg_type t ON t.oid = r.rngtypid
WHERE t.typnamespace::int8 = ANY ($1)
