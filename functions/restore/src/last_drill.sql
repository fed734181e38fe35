-- The last drill that went well: which backup, how long, and how much.
SELECT
    v.backup_id,
    (v.details ->> 'recovery_seconds')::float8 AS seconds,
    (v.details ->> 'bytes_raw')::float8 AS bytes_raw
FROM recoup.verifications AS v
WHERE v.action = 'drill' AND v.status = 'passed' AND v.backup_id IS NOT NULL
    AND v.details ?& ARRAY['recovery_seconds', 'bytes_raw']
ORDER BY v.finished_at DESC
LIMIT 1
