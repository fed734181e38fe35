SELECT 'dictionary'::text AS sort,
       d.oid::int8 AS oid,
       n.nspname::text AS schema,
       d.dictname::text AS name,
       format('%I.%I', n.nspname, d.dictname) AS ident,
       format('%I.%I', tn.nspname, t.tmplname) AS base,
       d.dictinitoption AS options,
       '{}'::text[] AS mappings
FROM pg_catalog.pg_ts_dict d
JOIN pg_catalog.pg_namespace n ON n.oid = d.dictnamespace
JOIN pg_catalog.pg_ts_template t ON t.oid = d.dicttemplate
JOIN pg_catalog.pg_namespace tn ON tn.oid = t.tmplnamespace
WHERE n.oid::int8 = ANY ($1)
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend e
      WHERE e.classid = 'pg_catalog.pg_ts_dict'::regclass AND e.objid = d.oid AND e.deptype = 'e'
  )
UNION ALL
SELECT 'configuration',
       c.oid::int8,
       n.nspname::text,
       c.cfgname::text,
       format('%I.%I', n.nspname, c.cfgname),
       format('%I.%I', pn.nspname, p.prsname),
       NULL,
       coalesce(
           (
               SELECT array_agg(format('%I WITH %s', m.alias, m.dictionaries) ORDER BY m.token)
               FROM (
                   SELECT x.maptokentype AS token, t.alias,
                          string_agg(format('%I.%I', dn.nspname, d.dictname), ', ' ORDER BY x.mapseqno)
                              AS dictionaries
                   FROM pg_catalog.pg_ts_config_map x
                   JOIN ts_token_type(c.cfgparser) t ON t.tokid = x.maptokentype
                   JOIN pg_catalog.pg_ts_dict d ON d.oid = x.mapdict
                   JOIN pg_catalog.pg_namespace dn ON dn.oid = d.dictnamespace
                   WHERE x.mapcfg = c.oid
                   GROUP BY 1, 2
               ) m
           ),
           '{}'
       )
FROM pg_catalog.pg_ts_config c
JOIN pg_catalog.pg_namespace n ON n.oid = c.cfgnamespace
JOIN pg_catalog.pg_ts_parser p ON p.oid = c.cfgparser
JOIN pg_catalog.pg_namespace pn ON pn.oid = p.prsnamespace
WHERE n.oid::int8 = ANY ($1)
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend e
      WHERE e.classid = 'pg_catalog.pg_ts_config'::regclass AND e.objid = c.oid AND e.deptype = 'e'
  )
