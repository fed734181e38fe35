-- What Postgres 15 added.
CREATE TABLE public.rounded (id int PRIMARY KEY, n numeric(5,-2), small numeric(2,4), UNIQUE NULLS NOT DISTINCT (n));
CREATE TABLE public.pairs (a int, b int, PRIMARY KEY (a, b));
CREATE TABLE public.half (a int, b int, FOREIGN KEY (a, b) REFERENCES public.pairs ON DELETE SET NULL (b));
CREATE VIEW public.as_the_caller WITH (security_invoker = true, security_barrier = false) AS TABLE public.half;
INSERT INTO public.rounded VALUES (1, 12345, 0.0012), (2, NULL, NULL);
INSERT INTO public.pairs VALUES (1, 2);
INSERT INTO public.half VALUES (1, 2), (1, NULL);
