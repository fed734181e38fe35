-- Sessions of this application ($1) in this database that an earlier invocation left. One that works ends by itself; one
-- that waits for its client, which is no more, is ended here.
SELECT count(
    CASE
        WHEN a.state IS DISTINCT FROM 'active' OR a.wait_event = 'ClientRead'
            THEN pg_catalog.pg_terminate_backend(a.pid)::int
        ELSE 1
    END
)
FROM pg_catalog.pg_stat_activity AS a
WHERE a.datname = current_database()
    AND a.pid <> pg_catalog.pg_backend_pid()
    AND a.application_name = $1
    AND a.backend_type = 'client backend'
