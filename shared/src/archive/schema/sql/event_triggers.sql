SELECT e.oid::int8 AS oid,
       e.evtname::text AS name,
       format('%I', e.evtname) AS ident,
       e.evtevent::text AS event,
       e.evtenabled::text AS state,
       e.evtfoid::regproc::text AS function,
       coalesce((SELECT string_agg(quote_literal(t), ', ') FROM unnest(e.evttags) AS t), '') AS tags
FROM pg_catalog.pg_event_trigger e
JOIN pg_catalog.pg_proc p ON p.oid = e.evtfoid
WHERE p.pronamespace::int8 = ANY ($1)
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_event_trigger'::regclass AND d.objid = e.oid AND d.deptype = 'e'
  )
