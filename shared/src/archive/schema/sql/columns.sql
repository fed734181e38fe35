-- Every column of those relations. What a column inherits is compared with its parents here, so that
-- only what differs is written for an inheritance child (a partition gets everything).
SELECT a.attrelid::int8 AS relation,
       a.attnum::int4 AS number,
       a.attname::text AS name,
       format('%I', a.attname) AS ident,
       format_type(a.atttypid, a.atttypmod) AS type_name,
       CASE WHEN a.attcollation <> 0 AND a.attcollation <> t.typcollation
            THEN format('%I.%I', cn.nspname, co.collname) END AS collation,
       a.attnotnull AS not_null,
       a.attislocal AS is_local,
       a.attgenerated::text AS generated,
       a.attidentity::text AS identity,
       d.oid::int8 AS default_oid,
       pg_get_expr(d.adbin, d.adrelid) AS default_expr,
       CASE WHEN a.attstorage <> t.typstorage THEN a.attstorage::text END AS storage,
       nullif(a.attcompression::text, '') AS compression,
       nullif((to_jsonb(a) ->> 'attstattarget')::int4, -1) AS statistics,
       coalesce(
           (SELECT array_agg(format('%I=%L', o.option_name, o.option_value) ORDER BY o.place)
            FROM pg_options_to_table(a.attoptions) WITH ORDINALITY AS o (option_name, option_value, place)),
           '{}'
       ) AS options,
       coalesce(
           (SELECT array_agg(format('%I %L', o.option_name, o.option_value) ORDER BY o.place)
            FROM pg_options_to_table(a.attfdwoptions) WITH ORDINALITY AS o (option_name, option_value, place)),
           '{}'
       ) AS fdw_options,
       coalesce(parent.has_default, false) AS parent_has_default,
       coalesce(parent.same_generated, false) AS parent_same_generated,
       coalesce(parent.defaults, 0) > 1 AS parent_defaults_conflict,
       coalesce(parent.not_null, false) AS parent_not_null,
       coalesce(parent.not_null_unchecked, false) AS parent_not_null_unchecked,
       k.oid::int8 AS not_null_oid,
       k.conname::text AS not_null_name,
       quote_ident(k.conname) AS not_null_ident,
       k.conislocal AS not_null_local,
       k.connoinherit AS not_null_no_inherit,
       k.convalidated AS not_null_valid
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_collation co ON co.oid = a.attcollation
LEFT JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_catalog.pg_constraint k
       ON k.conrelid = a.attrelid AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum]
LEFT JOIN LATERAL (
    SELECT bool_or(pd.oid IS NOT NULL) AS has_default,
           count(DISTINCT pg_get_expr(pd.adbin, pd.adrelid)) AS defaults,
           bool_or(pa.attgenerated <> '' AND pa.attgenerated = a.attgenerated
                   AND pg_get_expr(pd.adbin, pd.adrelid) = pg_get_expr(d.adbin, d.adrelid)) AS same_generated,
           bool_or(pa.attnotnull) AS not_null,
           bool_or(NOT pk.convalidated) AS not_null_unchecked
    FROM pg_catalog.pg_inherits i
    JOIN pg_catalog.pg_attribute pa ON pa.attrelid = i.inhparent AND pa.attname = a.attname
    LEFT JOIN pg_catalog.pg_attrdef pd ON pd.adrelid = pa.attrelid AND pd.adnum = pa.attnum
    LEFT JOIN pg_catalog.pg_constraint pk
           ON pk.conrelid = pa.attrelid AND pk.contype = 'n' AND pk.conkey = ARRAY[pa.attnum]
    WHERE a.attinhcount > 0 AND i.inhrelid = a.attrelid AND NOT pa.attisdropped
) parent ON true
WHERE c.relnamespace::int8 = ANY ($1)
  AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
  AND a.attnum > 0
  AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
