-- What an extractor refuses, the rows refuse as well, whoever writes them: amounts and quantities that Stripe never
-- has below zero, and currencies that are no code. Each is `not valid`: it holds for all that is written from now
-- on, and neither reads a large table now nor fails because of a row that is there already.
--
-- Without a bound on purpose: payouts (below zero where the bank pays the balance), an invoice's amount due, total
-- and lines, an invoice item's one-time price, and movements of credits.

alter table recoup.payments
    add constraint payments_amounts
        check (amount >= 0 and amount_received >= 0 and amount_refunded >= 0 and amount_lost >= 0) not valid,
    add constraint payments_currency check (currency ~ '^[a-z]{3}$') not valid;

alter table recoup.charges
    add constraint charges_amounts
        check (amount >= 0 and amount_captured >= 0 and amount_refunded >= 0) not valid,
    add constraint charges_currency check (currency ~ '^[a-z]{3}$') not valid;

alter table recoup.refunds
    add constraint refunds_amount check (amount >= 0) not valid,
    add constraint refunds_currency check (currency ~ '^[a-z]{3}$') not valid;

alter table recoup.disputes
    add constraint disputes_amount check (amount >= 0) not valid,
    add constraint disputes_currency check (currency ~ '^[a-z]{3}$') not valid;

alter table recoup.orders
    add constraint orders_amounts check (amount_subtotal >= 0 and amount_total >= 0) not valid,
    add constraint orders_currency check (currency ~ '^[a-z]{3}$') not valid;

alter table recoup.order_items
    add constraint order_items_quantity check (quantity >= 0) not valid,
    add constraint order_items_amount check (amount_total >= 0) not valid,
    add constraint order_items_currency check (currency ~ '^[a-z]{3}$') not valid;

alter table recoup.invoices
    add constraint invoices_amount_paid check (amount_paid >= 0) not valid,
    add constraint invoices_attempt_count check (attempt_count >= 0) not valid,
    add constraint invoices_currency check (currency ~ '^[a-z]{3}$') not valid;

alter table recoup.invoice_lines
    add constraint invoice_lines_quantity check (quantity >= 0) not valid;

alter table recoup.invoice_payments
    add constraint invoice_payments_amount_paid check (amount_paid >= 0) not valid,
    add constraint invoice_payments_currency check (currency ~ '^[a-z]{3}$') not valid;

alter table recoup.subscriptions
    add constraint subscriptions_currency check (currency ~ '^[a-z]{3}$') not valid;

alter table recoup.subscription_items
    add constraint subscription_items_quantity check (quantity >= 0) not valid;

alter table recoup.payouts
    add constraint payouts_currency check (currency ~ '^[a-z]{3}$') not valid;

alter table recoup.catalog_items
    add constraint catalog_items_currency check (currency ~ '^[a-z]{3}$') not valid;

alter table recoup.connected_accounts
    add constraint connected_accounts_currency check (default_currency ~ '^[a-z]{3}$') not valid;

alter table recoup.ledger_entries
    add constraint ledger_entries_currency check (currency ~ '^[a-z]{3}$') not valid;

-- Where a checkout session that sells a subscription and the payment of its first invoice meet: the session has no
-- payment of its own. Each event writes its half of the row, so that of two that run at once one sees the other.
create table recoup.invoice_orders (
    -- The invoice; the subscription where the session is of before 2022-11 and names no invoice.
    id         text not null,
    account    text,
    order_id   text,
    payment_id text,
    constraint invoice_orders_key primary key (id)
);
