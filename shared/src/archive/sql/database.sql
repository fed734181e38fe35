-- How the database was created. The columns for ICU came with Postgres 15, were renamed in 17, and are
-- reached through jsonb so that one statement serves all versions.
SELECT
    d.datname::text AS name,
    pg_catalog.pg_encoding_to_char(d.encoding)::text AS encoding,
    CASE to_jsonb(d) ->> 'datlocprovider' WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc' END AS locale_provider,
    d.datcollate::text AS collate,
    d.datctype::text AS ctype,
    coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale') AS locale,
    to_jsonb(d) ->> 'daticurules' AS icu_rules,
    current_setting('server_version_num')::int4 AS postgres_version
FROM pg_catalog.pg_database AS d
WHERE d.datname = current_database()
