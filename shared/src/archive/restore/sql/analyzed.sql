-- What ANALYZE is to be given, the largest first: each table and materialized view that is by itself, and for the members
-- of a family the table at its head, with which Postgres analyzes the others.
SELECT format('%I.%I', n.nspname, r.relname)
FROM pg_catalog.pg_class AS r
JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace
WHERE r.relkind IN ('r', 'm', 'p')
    AND n.nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema', 'recoup_staging')
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits AS i WHERE i.inhrelid = r.oid)
ORDER BY r.relpages DESC, 1
