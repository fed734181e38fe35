-- Every foreign key, also those that partitions have from their parents. Values are compared as Postgres itself
-- compares them: by the constraint's own operators, and under the referenced column's collation where two differ.
SELECT k.conrelid::int8 AS child,
       k.confrelid::int8 AS parent,
       columns.child_columns,
       columns.parent_columns,
       columns.operators,
       columns.collations,
       EXISTS (
           SELECT FROM pg_catalog.pg_constraint pk
           WHERE pk.conrelid = k.conrelid AND pk.contype = 'p' AND k.conkey <@ pk.conkey
       ) AS in_primary_key
FROM pg_catalog.pg_constraint k
CROSS JOIN LATERAL (
    SELECT array_agg(c.attname::text ORDER BY u.place) AS child_columns,
           array_agg(p.attname::text ORDER BY u.place) AS parent_columns,
           array_agg(format('OPERATOR(%I.%s)', os.nspname, o.oprname) ORDER BY u.place) AS operators,
           array_agg(
               CASE WHEN c.attcollation <> p.attcollation AND p.attcollation <> 0
                    THEN format('%I.%I', ls.nspname, l.collname) END
               ORDER BY u.place
           ) AS collations
    FROM unnest(k.conkey, k.confkey, k.conpfeqop) WITH ORDINALITY AS u (child, parent, operator, place)
    JOIN pg_catalog.pg_attribute c ON c.attrelid = k.conrelid AND c.attnum = u.child
    JOIN pg_catalog.pg_attribute p ON p.attrelid = k.confrelid AND p.attnum = u.parent
    JOIN pg_catalog.pg_operator o ON o.oid = u.operator
    JOIN pg_catalog.pg_namespace os ON os.oid = o.oprnamespace
    LEFT JOIN pg_catalog.pg_collation l ON l.oid = p.attcollation
    LEFT JOIN pg_catalog.pg_namespace ls ON ls.oid = l.collnamespace
) AS columns
WHERE k.contype = 'f'
ORDER BY k.conrelid, k.conname, k.oid
