-- Pages of a table's own rows, and bytes with what it keeps in TOAST, as they are now: sizes do not
-- follow the snapshot, and may only be larger than what it sees.
SELECT
    pg_catalog.pg_relation_size(o.oid) / current_setting('block_size')::int8 AS pages,
    pg_catalog.pg_table_size(o.oid) AS bytes
FROM unnest($1::int8[]) WITH ORDINALITY AS o (oid, position)
ORDER BY o.position
