SELECT DISTINCT o.class, o.oid, coalesce(i.type, o.class) AS kind, coalesce(i.identity, o.oid::text) AS identity
FROM unnest($1::int8[], $2::text[]) AS o (oid, class)
CROSS JOIN LATERAL pg_identify_object(format('pg_catalog.%I', o.class)::regclass, o.oid::oid, 0) i
ORDER BY 1, 2
