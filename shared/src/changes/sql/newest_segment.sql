-- The newest segment that this database knows. Transactions that its snapshot does not see began after any segment was
-- written whose transaction is older than all of them, and their changes have higher ids than had been given out by then.
SELECT s.segment_id,
       s.status = 'pending' AS pending,
       s.snapshot::text AS snapshot,
       s.taken_at,
       s.content_sha256,
       s.database,
       s.definitions,
       (
           SELECT coalesce(max(earlier.last_id), 0)
           FROM recoup.change_segments AS earlier
           WHERE earlier.chain = s.chain
             AND earlier.written_xid < pg_snapshot_xmin(s.snapshot)
       ) AS exported_id
FROM recoup.change_segments AS s
ORDER BY s.exported_at DESC, s.sequence DESC
LIMIT 1
