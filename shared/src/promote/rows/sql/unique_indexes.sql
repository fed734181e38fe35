-- The unique indexes of a table over plain columns, and the operators by which these are equal.
SELECT ic.relname::text AS name,
       array_agg(a.attname::text ORDER BY u.place) AS columns,
       array_agg(format('OPERATOR(%I.%s)', os.nspname, o.oprname) ORDER BY u.place) AS operators
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS ic ON ic.oid = i.indexrelid
CROSS JOIN LATERAL unnest(i.indkey::int2[], i.indclass::oid[]) WITH ORDINALITY AS u (number, class, place)
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = u.number
JOIN pg_catalog.pg_opclass AS oc ON oc.oid = u.class
JOIN pg_catalog.pg_amop AS ao ON ao.amopfamily = oc.opcfamily AND ao.amopstrategy = 3
    AND ao.amoplefttype = oc.opcintype AND ao.amoprighttype = oc.opcintype
JOIN pg_catalog.pg_operator AS o ON o.oid = ao.amopopr
JOIN pg_catalog.pg_namespace AS os ON os.oid = o.oprnamespace
WHERE i.indrelid = $1::int8::oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
  AND u.place <= i.indnkeyatts
GROUP BY ic.relname
ORDER BY ic.relname
