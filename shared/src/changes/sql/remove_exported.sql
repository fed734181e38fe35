-- Ids up to the newest one that a sealed segment older than the keep window had seen given out: whatever is behind it is
-- younger. A transaction that no segment holds yet keeps its changes, however old these are.
WITH edge AS (
    SELECT max(s.last_id) AS last_id
    FROM recoup.change_segments AS s
    WHERE s.chain = $1 AND s.status = 'sealed' AND s.taken_at <= now() - make_interval(secs => $2)
),
newest AS (
    SELECT s.snapshot
    FROM recoup.change_segments AS s
    WHERE s.chain = $1 AND s.status = 'sealed'
    ORDER BY s.sequence DESC
    LIMIT 1
),
gone AS (
    SELECT c.id
    FROM recoup.row_changes AS c
    WHERE c.id <= (SELECT edge.last_id FROM edge)
      AND pg_visible_in_snapshot(c.xid, (SELECT newest.snapshot FROM newest))
    ORDER BY c.id
    LIMIT $3
)
DELETE FROM recoup.row_changes AS c
USING gone
WHERE c.id = gone.id
