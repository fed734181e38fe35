-- The tables that are captured, as the transaction's snapshot shows them: their columns, what their definition comes
-- down to, and the transactions that wrote its parts (the low 32 bits of their ids).
SELECT c.table_id,
       c.schema_name,
       c.table_name,
       c.key_columns,
       c.read_at_export,
       c.captured_at,
       c.captured_xid::text::int8 AS captured_xid,
       columns.names,
       columns.types,
       parts.fingerprint,
       parts.xids
FROM recoup.captured AS c
CROSS JOIN LATERAL (
    SELECT array_agg(a.attname::text ORDER BY a.attnum) AS names,
           array_agg(format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum) AS types
    FROM pg_catalog.pg_attribute AS a
    WHERE a.attrelid = c.relation AND a.attnum > 0 AND NOT a.attisdropped
) AS columns
CROSS JOIN LATERAL (
    SELECT md5(string_agg(part.text, E'\n' ORDER BY part.text COLLATE "C")) AS fingerprint,
           array_agg(DISTINCT part.xid::text::int8) AS xids
    FROM (
        SELECT format(
                   'column %s %s %s %s %s', a.attnum, a.attname, format_type(a.atttypid, a.atttypmod),
                   a.attnotnull, a.attgenerated
               ),
               a.xmin
        FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = c.relation AND a.attnum > 0
        UNION ALL
        -- A trigger that was switched off and on again is another row of the catalog.
        SELECT format('trigger %s %s', g.tgname, g.xmin), g.xmin
        FROM pg_catalog.pg_trigger AS g
        WHERE g.tgrelid = c.relation AND g.tgname LIKE 'recoup\_capture\_%' AND NOT g.tgisinternal
        UNION ALL
        SELECT format('constraint %s %s', k.conname, pg_get_constraintdef(k.oid)), k.xmin
        FROM pg_catalog.pg_constraint AS k
        WHERE k.conrelid = c.relation
        UNION ALL
        SELECT format('key %s', recoup.capture_key(c.relation)), NULL
        UNION ALL
        SELECT format('label %s %s', e.enumtypid, e.enumlabel), e.xmin
        FROM pg_catalog.pg_enum AS e
        WHERE e.enumtypid IN (
            SELECT unnest(ARRAY[t.oid, t.typelem, t.typbasetype])
            FROM pg_catalog.pg_attribute AS a
            JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
            WHERE a.attrelid = c.relation AND a.attnum > 0
        )
        UNION ALL
        SELECT format('partition %s %s', p.inhrelid, pg_get_expr(r.relpartbound, r.oid)), p.xmin
        FROM pg_catalog.pg_inherits AS p
        JOIN pg_catalog.pg_class AS r ON r.oid = p.inhrelid
        WHERE p.inhparent = c.relation
    ) AS part (text, xid)
) AS parts
WHERE c.complete
ORDER BY c.schema_name COLLATE "C", c.table_name COLLATE "C"
