-- Every event was applied, or set aside on purpose. One that failed is given its tries first.
select 'webhook_events' as object, id
from recoup.webhook_events
where status = 'dead' or (status = 'failed' and next_attempt_at < $1)
