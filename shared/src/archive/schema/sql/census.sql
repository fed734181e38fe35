-- Everything in the selection, and everything outside schemas, that someone made and no extension brought.
-- What was written is taken off this list; the rest is named as unsupported.
WITH member AS MATERIALIZED (
    SELECT d.classid::regclass::text AS class, d.objid AS oid
    FROM pg_catalog.pg_depend d
    WHERE d.deptype = 'e'
)
SELECT o.class, o.oid::int8 AS oid
FROM (
    SELECT 'pg_class' AS class, c.oid, c.relnamespace AS namespace FROM pg_catalog.pg_class c
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
       OR c.relkind IN ('i', 'I') AND NOT EXISTS (
           SELECT FROM pg_catalog.pg_index i
           JOIN member m ON m.class = 'pg_class' AND m.oid = i.indrelid
           WHERE i.indexrelid = c.oid)
    UNION ALL
    SELECT 'pg_type', t.oid, t.typnamespace FROM pg_catalog.pg_type t
    UNION ALL
    SELECT 'pg_proc', p.oid, p.pronamespace FROM pg_catalog.pg_proc p
    WHERE NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'i')
    UNION ALL
    SELECT 'pg_operator', o.oid, o.oprnamespace FROM pg_catalog.pg_operator o
    UNION ALL
    SELECT 'pg_opclass', o.oid, o.opcnamespace FROM pg_catalog.pg_opclass o
    UNION ALL
    SELECT 'pg_opfamily', o.oid, o.opfnamespace FROM pg_catalog.pg_opfamily o
    UNION ALL
    SELECT 'pg_collation', c.oid, c.collnamespace FROM pg_catalog.pg_collation c
    UNION ALL
    SELECT 'pg_conversion', c.oid, c.connamespace FROM pg_catalog.pg_conversion c
    UNION ALL
    SELECT 'pg_ts_dict', d.oid, d.dictnamespace FROM pg_catalog.pg_ts_dict d
    UNION ALL
    SELECT 'pg_ts_config', c.oid, c.cfgnamespace FROM pg_catalog.pg_ts_config c
    UNION ALL
    SELECT 'pg_ts_parser', p.oid, p.prsnamespace FROM pg_catalog.pg_ts_parser p
    UNION ALL
    SELECT 'pg_ts_template', t.oid, t.tmplnamespace FROM pg_catalog.pg_ts_template t
    UNION ALL
    SELECT 'pg_statistic_ext', s.oid, s.stxnamespace FROM pg_catalog.pg_statistic_ext s
    UNION ALL
    SELECT 'pg_constraint', k.oid, k.connamespace FROM pg_catalog.pg_constraint k
    WHERE k.contype <> 't'
      AND k.conparentid = 0
      AND NOT EXISTS (SELECT FROM member m WHERE m.class = 'pg_class' AND m.oid = k.conrelid)
      AND NOT EXISTS (SELECT FROM member m WHERE m.class = 'pg_type' AND m.oid = k.contypid)
    UNION ALL
    SELECT 'pg_trigger', g.oid, c.relnamespace
    FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid
    WHERE NOT g.tgisinternal AND g.tgparentid = 0
    UNION ALL
    SELECT 'pg_rewrite', r.oid, c.relnamespace
    FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
    WHERE r.rulename <> '_RETURN'
    UNION ALL
    SELECT 'pg_policy', p.oid, c.relnamespace
    FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
    UNION ALL
    SELECT 'pg_cast', c.oid, 0 FROM pg_catalog.pg_cast c
    UNION ALL
    SELECT 'pg_language', l.oid, 0 FROM pg_catalog.pg_language l
    UNION ALL
    SELECT 'pg_transform', t.oid, 0 FROM pg_catalog.pg_transform t
    UNION ALL
    SELECT 'pg_am', a.oid, 0 FROM pg_catalog.pg_am a
    UNION ALL
    SELECT 'pg_foreign_data_wrapper', w.oid, 0 FROM pg_catalog.pg_foreign_data_wrapper w
    UNION ALL
    SELECT 'pg_foreign_server', s.oid, 0 FROM pg_catalog.pg_foreign_server s
    UNION ALL
    SELECT 'pg_event_trigger', e.oid, 0 FROM pg_catalog.pg_event_trigger e
    UNION ALL
    SELECT 'pg_publication', p.oid, 0 FROM pg_catalog.pg_publication p
) o
WHERE o.oid >= 16384
  AND (o.namespace = 0 OR o.namespace::int8 = ANY ($1))
  AND NOT EXISTS (SELECT FROM member m WHERE m.class = o.class AND m.oid = o.oid)
-- A cast that comes with a range type depends on it internally.
  AND NOT (o.class = 'pg_cast' AND EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_cast'::regclass AND d.objid = o.oid AND d.deptype = 'i'
  ))
