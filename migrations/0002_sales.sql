-- Rows that mirror a Stripe object carry the event that last wrote them, that event's `created`, and its rank:
-- how far the object had come, which settles events of one second. Older never overwrites newer:
--   where (row.event_created, row.event_rank, row.event_id) < (excluded.event_created, …)
-- A row that was made before its own object was seen (a refund arrives before its payment) has
-- event_created '-infinity', so that any event of its own wins.

create table recoup.customers (
    -- Stripe's cus_…, or guest_… from the e-mail address of a buyer that Stripe made no customer for.
    id            text        not null,
    account       text,
    email         text,
    name          text,
    created_at    timestamptz,
    deleted_at    timestamptz,
    event_id      text        not null,
    event_created timestamptz not null,
    event_rank    bigint      not null,
    constraint customers_key primary key (id)
);

-- What a price or a product grants to its buyer, from its metadata: recoup_kind, recoup_ref, recoup_quantity.
create table recoup.catalog_items (
    id              text        not null,
    account         text,
    object          text        not null,
    product_id      text,
    name            text,
    active          boolean,
    unit_amount     bigint,
    currency        text,
    grants_kind     text,
    grants_ref      text,
    grants_quantity bigint,
    deleted_at      timestamptz,
    event_id        text        not null,
    event_created   timestamptz not null,
    event_rank      bigint      not null,
    constraint catalog_items_key primary key (id),
    constraint catalog_items_object check (object in ('price', 'product')),
    constraint catalog_items_grant check (
        (grants_kind is null and grants_ref is null and grants_quantity is null)
        or (grants_kind in ('course', 'path', 'ticket', 'credits') and grants_ref is not null and grants_quantity > 0)
    )
);

-- One row a payment intent. It is also where events of one sale meet: each writes this row, so that two that
-- run at once cannot both act on a state that lacks the other.
create table recoup.payments (
    id              text        not null,
    account         text,
    customer_id     text,
    order_id        text,
    status          text,
    amount          bigint,
    amount_received bigint,
    currency        text,
    failure_code    text,
    created_at      timestamptz,
    -- The sum of its refunds that did not fail, and when the latest of them was made.
    amount_refunded bigint      not null default 0,
    refunded_at     timestamptz,
    event_id        text,
    event_created   timestamptz not null default '-infinity',
    event_rank      bigint      not null default 0,
    constraint payments_key primary key (id)
);

create table recoup.charges (
    id                  text        not null,
    account             text,
    payment_id          text,
    customer_id         text,
    status              text        not null,
    amount              bigint      not null,
    amount_captured     bigint      not null,
    amount_refunded     bigint      not null,
    currency            text        not null,
    failure_code        text,
    balance_transaction text,
    created_at          timestamptz not null,
    event_id            text        not null,
    event_created       timestamptz not null,
    event_rank          bigint      not null,
    constraint charges_key primary key (id),
    constraint charges_payment foreign key (payment_id) references recoup.payments (id)
);

create index charges_payment_id on recoup.charges (payment_id);

create table recoup.refunds (
    id             text        not null,
    account        text,
    charge_id      text,
    payment_id     text,
    status         text        not null,
    amount         bigint      not null,
    currency       text        not null,
    reason         text,
    failure_reason text,
    created_at     timestamptz not null,
    event_id       text        not null,
    event_created  timestamptz not null,
    event_rank     bigint      not null,
    constraint refunds_key primary key (id),
    constraint refunds_payment foreign key (payment_id) references recoup.payments (id)
);

create index refunds_payment_id on recoup.refunds (payment_id);

-- One row a checkout session.
create table recoup.orders (
    id                  text        not null,
    account             text,
    -- Unknown only where the buyer never came as far as to say who they are.
    customer_id         text,
    payment_id          text,
    status              text        not null,
    mode                text,
    currency            text,
    amount_subtotal     bigint,
    amount_total        bigint,
    client_reference_id text,
    created_at          timestamptz not null,
    paid_at             timestamptz,
    event_id            text        not null,
    event_created       timestamptz not null,
    event_rank          bigint      not null,
    constraint orders_key primary key (id),
    constraint orders_customer foreign key (customer_id) references recoup.customers (id),
    constraint orders_payment foreign key (payment_id) references recoup.payments (id),
    constraint orders_status check (status in ('pending', 'paid', 'failed', 'expired')),
    constraint orders_buyer check (customer_id is not null or status = 'expired')
);

create index orders_customer_id on recoup.orders (customer_id);
create index orders_payment_id on recoup.orders (payment_id);

-- One row a line. A line of a paid order without a grant is a gap in the catalogue, never dropped.
create table recoup.order_items (
    order_id        text    not null,
    position        integer not null,
    line_item_id    text,
    price_id        text,
    product_id      text,
    description     text,
    quantity        bigint  not null,
    amount_total    bigint,
    currency        text,
    grants_kind     text,
    grants_ref      text,
    grants_quantity bigint,
    constraint order_items_key primary key (order_id, position),
    constraint order_items_order foreign key (order_id) references recoup.orders (id)
);

create index order_items_gap on recoup.order_items (price_id, product_id) where grants_kind is null;
