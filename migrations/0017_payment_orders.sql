-- Where what a payment paid for and what goes back of it meet. Stripe sends all events of a sale at one moment; those
-- that have nothing to settle with each other, a payment's own and its charge's, write no row in common any more.
create table recoup.payment_orders (
    -- The payment.
    id       text not null,
    account  text,
    -- What it paid for; null where only something that went back is known.
    order_id text,
    constraint payment_orders_key primary key (id)
);

insert into recoup.payment_orders (id, account, order_id)
select id, account, order_id from recoup.payments where order_id is not null;

alter table recoup.payments drop column order_id;

-- Stripe keeps no order among a sale's events, so that these keys needed a row for a payment that was not known yet,
-- made by whichever event came first. `verify` finds what still names no payment later on.
alter table recoup.charges drop constraint charges_payment;
alter table recoup.orders drop constraint orders_payment;
