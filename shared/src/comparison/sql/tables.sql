-- Every table as a query of it shows it: a partitioned one as a whole, and none of its partitions. What an extension
-- owns is left out, as backups leave it out. The key is the primary key, else the first unique index over plain columns
-- that refuse nulls; its columns are compared by the operators of that index.
SELECT c.oid::int8 AS oid,
       n.nspname::text AS schema,
       c.relname::text AS name,
       c.relkind = 'p' AS partitioned,
       coalesce(columns.names, '{}') AS columns,
       coalesce(columns.types, '{}') AS types,
       coalesce(columns.always, '{}') AS identities_always,
       coalesce(keys.names, '{}') AS key,
       coalesce(keys.operators, '{}') AS key_operators,
       EXISTS (
           SELECT FROM pg_catalog.pg_rewrite AS r
           WHERE r.ev_class = c.oid AND r.ev_type IN ('2', '3', '4') AND r.ev_enabled <> 'D'
       ) AS has_rules,
       EXISTS (
           SELECT FROM pg_catalog.pg_index AS i
           WHERE i.indrelid = c.oid AND (i.indisunique OR i.indisexclusion) AND NOT i.indimmediate
       ) AS has_deferrable_key
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (
    SELECT array_agg(a.attname::text ORDER BY a.attnum) AS names,
           array_agg(format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum) AS types,
           array_agg(a.attidentity = 'a' ORDER BY a.attnum) AS always
    FROM pg_catalog.pg_attribute AS a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
) AS columns ON true
LEFT JOIN LATERAL (
    SELECT i.indexrelid, i.indnkeyatts, i.indkey::int2[] AS numbers, i.indclass::oid[] AS classes
    FROM pg_catalog.pg_index AS i
    JOIN pg_catalog.pg_class AS ic ON ic.oid = i.indexrelid
    WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
      AND NOT EXISTS (
          SELECT FROM pg_catalog.pg_attribute AS a
          WHERE a.attrelid = c.oid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
            AND (NOT a.attnotnull OR a.attgenerated <> '')
      )
    ORDER BY i.indisprimary DESC, ic.relname
    LIMIT 1
) AS chosen ON true
LEFT JOIN LATERAL (
    SELECT array_agg(a.attname::text ORDER BY u.place) AS names,
           array_agg(format('OPERATOR(%I.%s)', os.nspname, o.oprname) ORDER BY u.place) AS operators
    FROM unnest(chosen.numbers, chosen.classes) WITH ORDINALITY AS u (number, class, place)
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = u.number
    JOIN pg_catalog.pg_opclass AS oc ON oc.oid = u.class
    -- Strategy 3 of a B-tree is equality.
    JOIN pg_catalog.pg_amop AS ao ON ao.amopfamily = oc.opcfamily AND ao.amopstrategy = 3
        AND ao.amoplefttype = oc.opcintype AND ao.amoprighttype = oc.opcintype
    JOIN pg_catalog.pg_operator AS o ON o.oid = ao.amopopr
    JOIN pg_catalog.pg_namespace AS os ON os.oid = o.oprnamespace
    WHERE u.place <= chosen.indnkeyatts
) AS keys ON true
WHERE c.relkind IN ('r', 'p')
  AND NOT c.relispartition
  AND n.nspname !~ '^pg_'
  AND n.nspname <> 'information_schema'
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend AS d
      WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
  )
ORDER BY n.nspname, c.relname
