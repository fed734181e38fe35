-- Operators and support functions, each under the class or family that it belongs to. Membership of a class
-- is an internal dependency (or an automatic one, for what the class could do without).
SELECT d.refclassid::regclass::text AS owner_class,
       d.refobjid::int8 AS owner,
       m.class::text AS member_class,
       m.oid::int8 AS member_oid,
       m.clause
FROM (
    SELECT 'pg_catalog.pg_amop'::regclass AS class, o.oid, 0 AS kind, o.amopstrategy::int4 AS member,
           o.amoplefttype::int8 AS lefttype, o.amoprighttype::int8 AS righttype,
           format('OPERATOR %s %I.%s (%s, %s)', o.amopstrategy, n.nspname, p.oprname,
                  format_type(o.amoplefttype, NULL), format_type(o.amoprighttype, NULL))
           || CASE WHEN o.amoppurpose = 'o' THEN format(' FOR ORDER BY %I.%I', sn.nspname, sf.opfname) ELSE '' END
           AS clause
    FROM pg_catalog.pg_amop o
    JOIN pg_catalog.pg_operator p ON p.oid = o.amopopr
    JOIN pg_catalog.pg_namespace n ON n.oid = p.oprnamespace
    LEFT JOIN pg_catalog.pg_opfamily sf ON sf.oid = o.amopsortfamily
    LEFT JOIN pg_catalog.pg_namespace sn ON sn.oid = sf.opfnamespace
    UNION ALL
    SELECT 'pg_catalog.pg_amproc'::regclass, o.oid, 1, o.amprocnum::int4,
           o.amproclefttype::int8, o.amprocrighttype::int8,
           format('FUNCTION %s (%s, %s) %s', o.amprocnum, format_type(o.amproclefttype, NULL),
                  format_type(o.amprocrighttype, NULL), o.amproc::regprocedure)
    FROM pg_catalog.pg_amproc o
) m
JOIN pg_catalog.pg_depend d ON d.classid = m.class AND d.objid = m.oid
WHERE d.deptype IN ('i', 'a')
  AND (
      d.refclassid = 'pg_catalog.pg_opclass'::regclass
      AND EXISTS (SELECT FROM pg_catalog.pg_opclass c
                  WHERE c.oid = d.refobjid AND c.opcnamespace::int8 = ANY ($1))
      OR d.refclassid = 'pg_catalog.pg_opfamily'::regclass
      AND EXISTS (SELECT FROM pg_catalog.pg_opfamily f
                  WHERE f.oid = d.refobjid AND f.opfnamespace::int8 = ANY ($1))
  )
ORDER BY d.refclassid, d.refobjid, m.kind, m.member, m.lefttype, m.righttype
