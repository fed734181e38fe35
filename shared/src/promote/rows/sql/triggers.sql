-- The triggers of these tables and of their partitions that are switched on. Those that run a function of recoup's are none
-- of them: they record changes, and these are changes. A clone belongs to the trigger of the table above.
WITH RECURSIVE tree AS (
    SELECT o.relation::oid AS relation FROM unnest($1::int8[]) AS o (relation)
    UNION
    SELECT i.inhrelid
    FROM tree
    JOIN pg_catalog.pg_inherits AS i ON i.inhparent = tree.relation
    JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid AND c.relispartition
)
SELECT format('%I.%I', n.nspname, c.relname) AS relation,
       format('%I', t.tgname) AS name,
       t.tgenabled::text AS state,
       t.tgparentid <> 0 AS is_clone
FROM tree
JOIN pg_catalog.pg_class AS c ON c.oid = tree.relation
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = c.oid
JOIN pg_catalog.pg_proc AS f ON f.oid = t.tgfoid
JOIN pg_catalog.pg_namespace AS fn ON fn.oid = f.pronamespace
WHERE (NOT t.tgisinternal OR t.tgparentid <> 0)
  AND (
      t.tgconstraint = 0
      OR EXISTS (SELECT FROM pg_catalog.pg_constraint AS k WHERE k.oid = t.tgconstraint AND k.contype = 't')
  )
  AND fn.nspname <> 'recoup'
ORDER BY is_clone, 1, 2
