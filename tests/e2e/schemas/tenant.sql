-- Several schemas, roles, and what a database grows over the years. The roles are made if they are not there:
-- they belong to the server.
DO $$
DECLARE r text;
BEGIN
    FOREACH r IN ARRAY ARRAY['tenant_owner', 'tenant_app', 'tenant "reader"'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r) THEN
            EXECUTE format('CREATE ROLE %I', r);
        END IF;
    END LOOP;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
CREATE SCHEMA core AUTHORIZATION tenant_owner;
CREATE SCHEMA reporting;
CREATE SCHEMA empty_one;
COMMENT ON SCHEMA public IS 'shared by all tenants';
GRANT USAGE ON SCHEMA core TO tenant_app, "tenant ""reader""";
GRANT USAGE, CREATE ON SCHEMA reporting TO tenant_app WITH GRANT OPTION;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO tenant_app;
ALTER DEFAULT PRIVILEGES FOR ROLE tenant_owner IN SCHEMA core GRANT SELECT ON TABLES TO "tenant ""reader""";
ALTER DEFAULT PRIVILEGES FOR ROLE tenant_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE tenant_owner GRANT USAGE ON SEQUENCES TO tenant_app WITH GRANT OPTION;

-- Inheritance.
CREATE TABLE core.party (
    id serial PRIMARY KEY,
    name text NOT NULL DEFAULT 'x',
    note text,
    size int GENERATED ALWAYS AS (length(name)) STORED,
    CONSTRAINT named CHECK (name <> ''),
    CONSTRAINT mine_alone CHECK (id > 0) NO INHERIT
);
CREATE TABLE core.person (born date, note text) INHERITS (core.party);
CREATE TABLE core.company (tax_id text, CONSTRAINT named CHECK (name <> '')) INHERITS (core.party);
ALTER TABLE core.company ALTER COLUMN name SET DEFAULT 'Acme';
ALTER TABLE core.company ALTER COLUMN id DROP DEFAULT;
ALTER TABLE core.company ALTER COLUMN note SET NOT NULL;
CREATE TABLE core.tag (label text);
CREATE TABLE core.tagged_person () INHERITS (core.person, core.tag);
ALTER TABLE core.person NO INHERIT core.party;
ALTER TABLE core.person INHERIT core.party;
CREATE UNLOGGED TABLE core.cache (k text PRIMARY KEY, v bytea COMPRESSION pglz, n bigserial);
CREATE SEQUENCE core.fast;

-- Aggregates, operators, classes, casts.
CREATE FUNCTION core.add_up(numeric, numeric) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT coalesce($1, 0) + coalesce($2, 0)';
CREATE AGGREGATE core.total(numeric) (SFUNC = core.add_up, STYPE = numeric, INITCOND = '0', COMBINEFUNC = core.add_up, PARALLEL = SAFE);
CREATE AGGREGATE core.count_all(*) (SFUNC = int8inc, STYPE = int8, INITCOND = '0');
CREATE AGGREGATE core.median(float8 ORDER BY anyelement) (SFUNC = ordered_set_transition, STYPE = internal, FINALFUNC = percentile_disc_final, FINALFUNC_EXTRA);
CREATE AGGREGATE core.moving(int4) (SFUNC = int4pl, STYPE = int4, MSFUNC = int4pl, MINVFUNC = int4mi, MSTYPE = int4, MINITCOND = '0', SORTOP = OPERATOR(pg_catalog.<), FINALFUNC_MODIFY = READ_ONLY);
COMMENT ON AGGREGATE core.total(numeric) IS 'nulls are nothing';
COMMENT ON AGGREGATE core.count_all(*) IS 'star';

CREATE TYPE core.version AS (major int, minor int);
CREATE FUNCTION core.version_lt(core.version, core.version) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT ($1.major, $1.minor) < ($2.major, $2.minor)';
CREATE FUNCTION core.version_gt(core.version, core.version) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT ($1.major, $1.minor) > ($2.major, $2.minor)';
CREATE FUNCTION core.version_eq(core.version, core.version) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT ($1.major, $1.minor) = ($2.major, $2.minor)';
CREATE FUNCTION core.version_cmp(core.version, core.version) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT CASE WHEN core.version_lt($1, $2) THEN -1 WHEN core.version_eq($1, $2) THEN 0 ELSE 1 END';
CREATE OPERATOR core.<<< (FUNCTION = core.version_lt, LEFTARG = core.version, RIGHTARG = core.version, COMMUTATOR = OPERATOR(core.>>>), RESTRICT = scalarltsel, JOIN = scalarltjoinsel);
CREATE OPERATOR core.>>> (FUNCTION = core.version_gt, LEFTARG = core.version, RIGHTARG = core.version, COMMUTATOR = OPERATOR(core.<<<));
CREATE OPERATOR core.=== (FUNCTION = core.version_eq, LEFTARG = core.version, RIGHTARG = core.version, COMMUTATOR = OPERATOR(core.===), HASHES, MERGES);
CREATE OPERATOR core.!!! (FUNCTION = pg_catalog.int4abs, RIGHTARG = int4);
COMMENT ON OPERATOR core.!!! (NONE, int4) IS 'prefix';
CREATE OPERATOR FAMILY core.versions USING btree;
CREATE OPERATOR CLASS core.version_ops FOR TYPE core.version USING btree FAMILY core.versions AS
    OPERATOR 1 core.<<<, OPERATOR 3 core.===, OPERATOR 5 core.>>>, FUNCTION 1 core.version_cmp(core.version, core.version);
COMMENT ON OPERATOR CLASS core.version_ops USING btree IS 'ordered';
CREATE FUNCTION core.to_text(core.version) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1.major || ''.'' || $1.minor';
CREATE CAST (core.version AS text) WITH FUNCTION core.to_text(core.version) AS ASSIGNMENT;
CREATE CAST (text AS core.version) WITH INOUT;
COMMENT ON CAST (core.version AS text) IS 'dotted';
CREATE TABLE core.releases (v core.version, label text);
CREATE INDEX releases_v ON core.releases USING btree (v core.version_ops DESC);

CREATE COLLATION core.plain FROM "C";
CREATE COLLATION core.posix (provider = libc, locale = 'C');
CREATE TEXT SEARCH DICTIONARY core.words (TEMPLATE = pg_catalog.simple, ACCEPT = false);
CREATE TEXT SEARCH CONFIGURATION core.german (COPY = pg_catalog.simple);
ALTER TEXT SEARCH CONFIGURATION core.german ALTER MAPPING FOR asciiword, word WITH core.words, pg_catalog.simple;
COMMENT ON TEXT SEARCH CONFIGURATION core.german IS 'almost';
CREATE TABLE core.articles (
    title text COLLATE core.posix,
    body text,
    search tsvector GENERATED ALWAYS AS (to_tsvector('core.german'::regconfig, coalesce(body, ''))) STORED
);
CREATE STATISTICS core.article_facts (ndistinct, dependencies) ON title, body FROM core.articles;
CREATE STATISTICS reporting.expressions ON (lower(title)), (length(body)) FROM core.articles;
ALTER STATISTICS core.article_facts SET STATISTICS 50;
COMMENT ON STATISTICS core.article_facts IS 'they go together';

CREATE VIEW reporting.people WITH (security_barrier) AS SELECT p.id, p.name FROM ONLY core.person p;
CREATE MATERIALIZED VIEW reporting.sizes WITH (fillfactor = 50) AS SELECT name, size FROM core.party;
CREATE FUNCTION reporting.refresh() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE DEBUG 'ddl'; END $$;
CREATE PROCEDURE reporting.work(IN a int, INOUT b text DEFAULT 'x') LANGUAGE plpgsql AS $$ BEGIN b := a::text; END $$;
CREATE EVENT TRIGGER on_ddl ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'DROP TABLE') EXECUTE FUNCTION reporting.refresh();
ALTER EVENT TRIGGER on_ddl DISABLE;
COMMENT ON EVENT TRIGGER on_ddl IS 'off';

-- Owners and privileges.
ALTER TABLE core.party OWNER TO tenant_owner;
ALTER TABLE core.cache OWNER TO tenant_owner;
ALTER VIEW reporting.people OWNER TO tenant_owner;
ALTER MATERIALIZED VIEW reporting.sizes OWNER TO tenant_app;
ALTER FUNCTION core.add_up(numeric, numeric) OWNER TO tenant_owner;
ALTER AGGREGATE core.median(float8 ORDER BY anyelement) OWNER TO tenant_owner;
ALTER PROCEDURE reporting.work(int, text) OWNER TO tenant_app;
ALTER TYPE core.version OWNER TO tenant_owner;
ALTER OPERATOR core.!!! (NONE, int4) OWNER TO tenant_owner;
ALTER SEQUENCE core.fast OWNER TO tenant_app;
ALTER COLLATION core.plain OWNER TO tenant_owner;
ALTER STATISTICS core.article_facts OWNER TO tenant_owner;
GRANT SELECT, INSERT ON core.party TO tenant_app;
GRANT ALL ON core.party TO "tenant ""reader""" WITH GRANT OPTION;
SET ROLE "tenant ""reader""";
GRANT UPDATE ON core.party TO tenant_app;
RESET ROLE;
GRANT SELECT (born), UPDATE (born, note) ON core.person TO tenant_app;
GRANT SELECT ON core.company TO PUBLIC;
REVOKE DELETE ON core.cache FROM tenant_owner;
REVOKE ALL ON core.releases FROM CURRENT_USER;
GRANT USAGE ON SEQUENCE core.party_id_seq TO tenant_app;
GRANT SELECT ON SEQUENCE core.fast TO "tenant ""reader""";
REVOKE EXECUTE ON FUNCTION core.add_up(numeric, numeric) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION core.add_up(numeric, numeric) TO tenant_app;
REVOKE ALL ON FUNCTION core.median(float8, anyelement) FROM PUBLIC;
GRANT EXECUTE ON PROCEDURE reporting.work(int, text) TO "tenant ""reader""";
REVOKE USAGE ON TYPE core.version FROM PUBLIC;
GRANT SELECT ON reporting.people TO tenant_app;
GRANT SELECT (id) ON reporting.people TO "tenant ""reader""";
ALTER TABLE core.person ENABLE ROW LEVEL SECURITY;
CREATE POLICY app_only ON core.person FOR UPDATE TO tenant_app, "tenant ""reader""" USING (name <> 'root') WITH CHECK (true);
COMMENT ON POLICY app_only ON core.person IS 'for two';

INSERT INTO core.party (name) VALUES ('p');
INSERT INTO core.person (name, born) VALUES ('q', '2000-02-29');
INSERT INTO core.company (id, tax_id, note) VALUES (7, 'DE1', 'n');
INSERT INTO core.tagged_person (name, label) VALUES ('r', 'vip');
INSERT INTO core.cache (k, v) VALUES ('a', '\x00ff');
INSERT INTO core.releases VALUES ('(1,2)', 'one');
INSERT INTO core.articles VALUES ('t', 'some words');
REFRESH MATERIALIZED VIEW reporting.sizes;
