-- What Postgres 17 added.
CREATE TABLE public.numbered (id int GENERATED ALWAYS AS IDENTITY, part int) PARTITION BY LIST (part);
CREATE TABLE public.numbered_1 PARTITION OF public.numbered FOR VALUES IN (1);
CREATE TABLE public.numbered_2 PARTITION OF public.numbered DEFAULT;
CREATE COLLATION public.by_code_point (provider = builtin, locale = 'C.UTF-8');
CREATE TABLE public.named (t text COLLATE public.by_code_point PRIMARY KEY);
GRANT MAINTAIN, SELECT ON public.named TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT MAINTAIN ON TABLES TO PUBLIC;
CREATE TABLE public.twice (a int, b int GENERATED ALWAYS AS (a * 2) STORED);
ALTER TABLE public.twice ALTER COLUMN b SET EXPRESSION AS (a * 3);
ALTER TABLE public.twice ALTER COLUMN a SET STATISTICS DEFAULT;
INSERT INTO public.numbered (part) VALUES (1), (2), (1);
INSERT INTO public.named VALUES ('é');
INSERT INTO public.twice VALUES (2);
