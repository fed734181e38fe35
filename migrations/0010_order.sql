-- Two events of one object in one second, equally far in its life: which of them came last, their order of
-- arrival cannot say. The row is marked in the statement that sees it. What the events themselves say of their
-- order (data.previous_attributes) takes the mark away at once; else the retry run asks Stripe.
alter table recoup.customers add column needs_refetch boolean not null default false;
alter table recoup.catalog_items add column needs_refetch boolean not null default false;
alter table recoup.payments add column needs_refetch boolean not null default false;
alter table recoup.charges add column needs_refetch boolean not null default false;
alter table recoup.refunds add column needs_refetch boolean not null default false;

-- Almost always empty.
create index customers_needs_refetch on recoup.customers (id) where needs_refetch;
create index catalog_items_needs_refetch on recoup.catalog_items (id) where needs_refetch;
create index payments_needs_refetch on recoup.payments (id) where needs_refetch;
create index charges_needs_refetch on recoup.charges (id) where needs_refetch;
create index refunds_needs_refetch on recoup.refunds (id) where needs_refetch;

-- False for what Stripe called a refund until 2025-03-31 and was none: the part of an authorization that was
-- never captured, and so never paid.
alter table recoup.refunds add column moves_money boolean not null default true;

-- Refunds of old API versions name their charge alone.
create index refunds_charge_id on recoup.refunds (charge_id);

comment on column recoup.charges.amount_refunded is
    'What was given back of amount_captured. Until 2025-03-31 Stripe''s own figure has the uncaptured part as well.';
