-- What Postgres 16 added.
CREATE COLLATION public.own_order (provider = icu, locale = 'und', rules = '&V << w <<< W');
CREATE TABLE public.sorted (t text COLLATE public.own_order PRIMARY KEY, body text STORAGE EXTERNAL);
INSERT INTO public.sorted VALUES ('v'), ('w');
