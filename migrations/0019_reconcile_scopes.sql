-- Stripe's objects and its balance are compared as well as its events.
alter table recoup.reconciliations
    drop constraint reconciliations_scope,
    add constraint reconciliations_scope check (scope in ('events', 'objects', 'balance')),
    -- A run of one account, or of objects with certain metadata: the next whole run does not begin where it ended.
    add column narrowed boolean not null default false;
