-- What only Postgres 18 has.
CREATE TABLE public.virtual (a int, b int GENERATED ALWAYS AS (a * 2) VIRTUAL, c int GENERATED ALWAYS AS (a * 3) STORED);
CREATE TABLE public.named (
    a int CONSTRAINT a_is_there NOT NULL,
    b int CONSTRAINT b_only_here NOT NULL NO INHERIT,
    c int NOT NULL,
    d int
);
ALTER TABLE public.named ADD CONSTRAINT d_later NOT NULL d NOT VALID;
COMMENT ON CONSTRAINT a_is_there ON public.named IS 'named';
COMMENT ON CONSTRAINT d_later ON public.named IS 'not yet';
CREATE TABLE public.named_child (e int, CONSTRAINT child_b NOT NULL b) INHERITS (public.named);
ALTER TABLE public.named ADD CONSTRAINT not_checked CHECK (a > 0) NOT ENFORCED;
CREATE TABLE public.priced (
    product int4range,
    valid int4range,
    price int,
    CONSTRAINT priced_key PRIMARY KEY (product, valid WITHOUT OVERLAPS)
);
CREATE TABLE public.sold (
    product int4range,
    valid int4range,
    CONSTRAINT sold_price FOREIGN KEY (product, PERIOD valid) REFERENCES public.priced (product, PERIOD valid)
);
CREATE TABLE public.loose (a int, k int PRIMARY KEY, up int, CONSTRAINT loose_fk FOREIGN KEY (up) REFERENCES public.loose NOT ENFORCED);
CREATE TABLE public.tree (id bigint GENERATED ALWAYS AS IDENTITY, part int CONSTRAINT part_there NOT NULL, v int) PARTITION BY LIST (part);
CREATE TABLE public.tree_1 PARTITION OF public.tree FOR VALUES IN (1);
CREATE TABLE public.tree_2 (part int CONSTRAINT own_name NOT NULL, v int DEFAULT 3, id bigint NOT NULL);
ALTER TABLE public.tree ATTACH PARTITION public.tree_2 FOR VALUES IN (2);
ALTER TABLE public.tree ADD CONSTRAINT v_there NOT NULL v NOT VALID;
CREATE DOMAIN public.must AS text CONSTRAINT must_be NOT NULL;
CREATE UNIQUE INDEX named_once ON public.named (d) NULLS NOT DISTINCT;
CREATE UNLOGGED TABLE public.fast (a int GENERATED ALWAYS AS IDENTITY);
ALTER SEQUENCE public.fast_a_seq SET LOGGED;
CREATE TABLE public.slow (a serial);
ALTER SEQUENCE public.slow_a_seq SET UNLOGGED;
INSERT INTO public.virtual VALUES (1);
INSERT INTO public.named VALUES (1, 2, 3, 4);
INSERT INTO public.named_child VALUES (1, 2, 3, 4, 5);
INSERT INTO public.priced VALUES ('[1,1]', '[1,5)', 10);
INSERT INTO public.sold VALUES ('[1,1]', '[2,3)');
INSERT INTO public.loose VALUES (1, 1, 99);
INSERT INTO public.tree (part, v) VALUES (1, 1), (2, 2);
