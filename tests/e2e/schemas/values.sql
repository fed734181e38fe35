-- Values that a text format may spoil.
CREATE SCHEMA values_of;
CREATE TYPE values_of.mood AS ENUM ('sad', 'it''s ok', 'größe');
CREATE TABLE values_of.scalars (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    f8 float8,
    f4 float4,
    n numeric,
    m money,
    t text,
    b bytea,
    ts timestamptz,
    tz timestamp,
    d date,
    iv interval,
    j json,
    jb jsonb,
    u uuid,
    ip inet,
    bits bit varying,
    r tstzrange,
    mr int4multirange,
    mood values_of.mood,
    x xml,
    v tsvector,
    p point,
    a text[],
    twice numeric GENERATED ALWAYS AS (n * 2) STORED
);
INSERT INTO values_of.scalars (f8, f4, n, m, t, b, ts, tz, d, iv, j, jb, u, ip, bits, r, mr, mood, x, v, p, a) VALUES
    (0.1 + 0.2, 0.1::float4, 'NaN', 1234.56, E'tab\there', '\x00ff5c', 'infinity', '0044-03-15 12:00 BC', '-infinity',
     '-1 mons +2 days -03:04:05.000006', '{"a" : [1,2,  3], "a": 1}', '{"b": 1.10}', '00000000-0000-0000-0000-000000000001',
     '10.0.0.1/8', B'101', '[2025-01-01 00:00+02,)', '{[1,3),[7,9)}', 'it''s ok', '<a>1</a>', 'a:1 b:2', '(0.1,1e-300)',
     ARRAY['', NULL, 'NULL', E'\\', '"', ',', E'\n']),
    ('-Infinity', 'NaN', 1e-30, -0.01, E'line\nbreak\r\nand \\. and \\N', '', '2026-10-25 00:30:00.123456+00', 'epoch',
     '9999-12-31', '178000000 years', 'null', 'null', NULL, '::1', B'', 'empty', '{}', 'größe', NULL, '', '(NaN,Infinity)', '{}'),
    (1e308, 1e-45, 12345678901234567890.123456789, NULL, '\.', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
     NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (-0.0, 16777217, 0.000, 0, '', '\x', '1970-01-01', NULL, NULL, '0', '""', '""', NULL, NULL, NULL, NULL, NULL, 'sad',
     NULL, NULL, NULL, '[5:6]={a,b}');

-- One row larger than any batch, and rows that neither compress nor fit one part or one request.
CREATE TABLE values_of.large (id integer, body text);
INSERT INTO values_of.large SELECT 1, string_agg(md5(i::text), E'\t\n') FROM generate_series(1, 80000) AS i;
CREATE TABLE values_of.noise (id integer PRIMARY KEY, body bytea);
INSERT INTO values_of.noise
SELECT i, decode(md5(i::text) || md5((i + 1)::text) || md5((i * 7)::text) || md5((i * 13)::text) ||
    md5((i * 3)::text) || md5((i * 5)::text) || md5((i * 11)::text) || md5((i * 17)::text), 'hex')
FROM generate_series(1, 300000) AS i;
DELETE FROM values_of.noise WHERE id % 11 = 0;

CREATE SEQUENCE values_of.waiting START 5;
SELECT setval('values_of.waiting', 77, false);
CREATE SEQUENCE values_of.called INCREMENT -3;
SELECT nextval('values_of.called');

CREATE FUNCTION values_of.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'triggers must not fire while rows come back';
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON values_of.large FOR EACH ROW EXECUTE FUNCTION values_of.refuse();
