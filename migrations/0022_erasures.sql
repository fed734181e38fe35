-- Persons who were erased: what every restore applies to its copy, so that nobody comes back who asked to be forgotten.
-- The bucket has the same records (v1/erasures/), which a lost database does not take with it.
create table recoup.erasures (
    erasure_id       text        not null,
    -- Stripe's ids of the person's customers (guest_… of a buyer without one).
    customers        text[]      not null,
    -- Ids of every object that was theirs: an event that names one of them is about them.
    objects          text[]      not null,
    -- Rows of the application's tables: [{"table": "public.people", "key": {"id": 7}, "set": {"email": null}}].
    application_rows jsonb       not null default '[]',
    erased_at        timestamptz not null,
    -- Events that were received before then have been gone through.
    applied_to       timestamptz not null,
    constraint erasures_key primary key (erasure_id)
);

-- Whoever writes the row of an erased customer again (a late event, a reconcile): their address and name stay away.
alter table recoup.customers add column erased_at timestamptz;

create function recoup.keep_erased() returns trigger
language plpgsql
set search_path = ''
as $$
begin
    new.email := null;
    new.name := null;
    return new;
end
$$;

create trigger customers_stay_erased
before update on recoup.customers
for each row
when (new.erased_at is not null and (new.email is not null or new.name is not null))
execute function recoup.keep_erased();

select recoup.capture_table('recoup.erasures', '{}', true);
