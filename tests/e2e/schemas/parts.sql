-- Tables that refer to each other in every way that a part of a database has to follow.
CREATE SCHEMA shop;
CREATE TYPE shop.mood AS ENUM ('glad', 'sad');
-- Postgres does not see that the check's function calls another one.
CREATE FUNCTION shop.has_at(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT position(''@'' IN $1) > 0';
CREATE FUNCTION shop.is_address(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN shop.has_at($1);
END $$;
CREATE DOMAIN shop.address AS text CHECK (shop.is_address(VALUE));

-- No column says when a row was created.
CREATE TABLE shop.countries (code text PRIMARY KEY, name text NOT NULL);
-- A circle of two, and a row that refers to its own table.
CREATE TABLE shop.teams (id int PRIMARY KEY, lead_id int, created_at timestamptz NOT NULL);
CREATE TABLE shop.people (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    manager_id int REFERENCES shop.people DEFERRABLE,
    team_id int CONSTRAINT people_team REFERENCES shop.teams DEFERRABLE INITIALLY DEFERRED,
    country text REFERENCES shop.countries,
    mood shop.mood DEFAULT 'glad',
    address shop.address,
    created_at timestamptz
);
ALTER TABLE shop.teams ADD CONSTRAINT teams_lead FOREIGN KEY (lead_id) REFERENCES shop.people;
COMMENT ON COLUMN shop.people.country IS 'where from';
CREATE INDEX people_country ON shop.people (country) WHERE country IS NOT NULL;
-- Times without a zone are UTC. The collations of the key's two ends differ.
CREATE TABLE shop.products (
    vendor text COLLATE "C", sku text, created timestamp NOT NULL, PRIMARY KEY (vendor, sku)
);
CREATE TABLE shop.counters (id bigserial PRIMARY KEY, what text);
CREATE TABLE shop.blocked (person_id int PRIMARY KEY);
-- Its numbers come from a sequence that belongs to another table.
CREATE TABLE shop."Odd name" (
    id bigint PRIMARY KEY DEFAULT nextval('shop.counters_id_seq'),
    "the buyer" int NOT NULL REFERENCES shop.people,
    vendor text,
    sku text,
    placed_at timestamptz NOT NULL,
    CONSTRAINT "of a product" FOREIGN KEY (vendor, sku) REFERENCES shop.products
);
ALTER TABLE shop."Odd name" ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody ON shop."Odd name" USING (id > 0);
CREATE POLICY "not blocked" ON shop."Odd name" AS RESTRICTIVE
    USING (NOT EXISTS (SELECT FROM shop.blocked b WHERE b.person_id = "the buyer"));
-- Parts of an order: as old as it is.
CREATE TABLE shop.lines (
    order_id bigint REFERENCES shop."Odd name", position int, country text REFERENCES shop.countries,
    PRIMARY KEY (order_id, position)
);
CREATE TABLE shop.line_notes (
    order_id bigint, position int, nr int, body text,
    PRIMARY KEY (order_id, position, nr),
    FOREIGN KEY (order_id, position) REFERENCES shop.lines
);
-- A key to a partitioned table, and a partitioned table's own keys.
CREATE TABLE shop.visits (
    id int, at timestamptz, person_id int NOT NULL REFERENCES shop.people, PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE TABLE shop.visits_old PARTITION OF shop.visits FOR VALUES FROM (MINVALUE) TO ('2026-06-01 00:00+00');
CREATE TABLE shop.visits_new PARTITION OF shop.visits FOR VALUES FROM ('2026-06-01 00:00+00') TO (MAXVALUE);
CREATE TABLE shop.feedback (
    id int PRIMARY KEY, visit_id int, visit_at timestamptz, created_at date NOT NULL,
    FOREIGN KEY (visit_id, visit_at) REFERENCES shop.visits (id, at)
);
CREATE TABLE shop.animals (name text, created_at timestamptz);
CREATE TABLE shop.cats (lives int DEFAULT 9) INHERITS (shop.animals);

CREATE FUNCTION shop.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER touch BEFORE UPDATE ON shop.people FOR EACH ROW EXECUTE FUNCTION shop.touch();
CREATE VIEW shop.managers AS SELECT DISTINCT manager_id FROM shop.people;
CREATE VIEW shop.buyers AS SELECT p.id FROM shop.people p JOIN shop."Odd name" o ON o."the buyer" = p.id;
CREATE MATERIALIZED VIEW shop.animal_count AS SELECT count(*) FROM shop.animals;

INSERT INTO shop.countries VALUES ('de', 'Germany'), ('fr', 'France'), ('jp', 'Japan');
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
-- Who came when: 1 and 2 long ago, 3 at the very beginning of November, 4 in it, 5 at the very end, 6 nobody knows;
-- nothing of November leads to 7 and 8.
INSERT INTO shop.people (manager_id, team_id, country, address, created_at) VALUES
    (NULL, 1, 'de', 'a@x', '2020-01-01 00:00+00'),
    (1, NULL, 'fr', 'b@x', '2021-01-01 00:00+00'),
    (2, NULL, NULL, NULL, '2026-11-01 00:00+00'),
    (NULL, NULL, NULL, 'd@x', '2026-11-15 12:00+00'),
    (4, NULL, 'jp', NULL, '2026-12-01 00:00+00'),
    (1, NULL, NULL, NULL, NULL),
    (NULL, NULL, NULL, NULL, '2019-01-01 00:00+00'),
    (7, 3, NULL, NULL, '2026-12-05 00:00+00');
INSERT INTO shop.teams VALUES
    (1, 2, '2020-01-01 00:00+00'), (2, 6, '2026-11-30 23:59:59.999999+00'), (3, NULL, '2026-10-31 23:59:59.999999+00');
COMMIT;
INSERT INTO shop.products VALUES
    ('acme', 'old', '2020-01-01'), ('acme', 'new', '2026-11-01 00:00'), ('acme', 'late', '2026-12-01 00:00'),
    ('acme', 'unsold', '2020-01-01');
INSERT INTO shop.counters (what) VALUES ('one'), ('two');
INSERT INTO shop."Odd name" ("the buyer", vendor, sku, placed_at) VALUES
    (5, 'acme', 'old', '2026-11-10 00:00+00'), (3, NULL, NULL, '2026-10-01 00:00+00'),
    (1, 'acme', 'late', '2026-12-24 00:00+00');
INSERT INTO shop.lines SELECT id, 1, 'de' FROM shop."Odd name";
INSERT INTO shop.lines VALUES (3, 2, 'jp');
INSERT INTO shop.line_notes SELECT order_id, position, 1, 'about ' || order_id FROM shop.lines;
INSERT INTO shop.visits VALUES (1, '2026-01-01 00:00+00', 1), (2, '2026-11-02 00:00+00', 5), (3, '2026-12-02 00:00+00', 4);
INSERT INTO shop.feedback VALUES (1, 1, '2026-01-01 00:00+00', '2026-11-30'), (2, 3, '2026-12-02 00:00+00', '2026-12-01'), (3, NULL, NULL, '2026-11-01');
INSERT INTO shop.animals VALUES ('dog', '2026-11-05 00:00+00');
INSERT INTO shop.cats VALUES ('tom', '2026-11-06 00:00+00'), ('old tom', '2020-01-01 00:00+00');
REFRESH MATERIALIZED VIEW shop.animal_count;
