-- Which table needs which, partitions taken for the table that they are part of. Where a constraint may be checked at the
-- end of the transaction, the order does not matter.
SELECT DISTINCT
       coalesce(pg_catalog.pg_partition_root(k.conrelid), k.conrelid)::oid::int8 AS child,
       coalesce(pg_catalog.pg_partition_root(k.confrelid), k.confrelid)::oid::int8 AS parent,
       k.condeferrable AS deferrable,
       k.confdeltype IN ('c', 'n', 'd') AS acts_on_delete,
       k.conname::text AS name
FROM pg_catalog.pg_constraint AS k
WHERE k.contype = 'f' AND k.conparentid = 0
