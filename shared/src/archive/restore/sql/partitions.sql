-- The partitions of table $1 (a name as SQL) at any depth: schema and name.
SELECT n.nspname::text, c.relname::text
FROM pg_catalog.pg_partition_tree($1::regclass) AS p
JOIN pg_catalog.pg_class AS c ON c.oid = p.relid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
