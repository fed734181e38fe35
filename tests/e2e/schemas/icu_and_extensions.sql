-- What a server has only if it was built with ICU and with the contrib modules.
CREATE EXTENSION citext;
CREATE EXTENSION btree_gist SCHEMA public;
CREATE EXTENSION pgcrypto;
CREATE COLLATION public.phonebook (provider = icu, locale = 'de-u-co-phonebk');
CREATE COLLATION public.any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE public.members (
    email citext PRIMARY KEY,
    name text COLLATE public.phonebook,
    nick text COLLATE public.any_case UNIQUE,
    room int,
    during tstzrange,
    EXCLUDE USING gist (room WITH =, during WITH &&)
);
CREATE INDEX members_name ON public.members (name COLLATE "de-x-icu", email);
INSERT INTO public.members VALUES ('A@b.de', 'Ärger', 'ZoË', 1, '[2025-01-01,2025-01-02)');
