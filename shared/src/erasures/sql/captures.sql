-- The triggers that capture changes: what switches each off, and what switches it on again as it was.
select
    format('alter table %s disable trigger %I', tgrelid::regclass, tgname)       as off,
    format('alter table %s enable always trigger %I', tgrelid::regclass, tgname) as again
from pg_catalog.pg_trigger
where tgname like 'recoup\_capture\_%' and not tgisinternal and tgenabled = 'A'
order by tgrelid, tgname
