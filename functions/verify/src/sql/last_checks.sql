-- The last run of each check.
select distinct on (action)
    action,
    status,
    backup_id,
    finished_at,
    (details ->> 'recovery_seconds')::double precision as recovery_seconds
from recoup.verifications
order by action, finished_at desc
