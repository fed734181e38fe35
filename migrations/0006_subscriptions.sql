-- One row a subscription. One that ended keeps its row: `ended_at` is the tombstone.
create table recoup.subscriptions (
    id                   text        not null,
    account              text,
    customer_id          text        not null,
    status               text        not null,
    currency             text,
    collection_method    text,
    cancel_at_period_end boolean,
    cancel_at            timestamptz,
    canceled_at          timestamptz,
    -- Until when collection is paused where Stripe knows that; 'infinity' where it is paused without an end.
    paused_until         timestamptz,
    trial_end            timestamptz,
    started_at           timestamptz,
    ended_at             timestamptz,
    -- Stripe shows no more than the first items of a long list.
    items_complete       boolean     not null,
    created_at           timestamptz not null,
    event_id             text        not null,
    event_created        timestamptz not null,
    event_rank           bigint      not null,
    needs_refetch        boolean     not null default false,
    constraint subscriptions_key primary key (id)
);

create index subscriptions_needs_refetch on recoup.subscriptions (id) where needs_refetch;

create index subscriptions_customer_id on recoup.subscriptions (customer_id);

-- The items as the event that last wrote the subscription shows them. Since 2025 each has its own period; before,
-- all have the subscription's.
create table recoup.subscription_items (
    subscription_id      text        not null,
    id                   text        not null,
    price_id             text        not null,
    product_id           text,
    -- Absent where use is metered.
    quantity             bigint,
    current_period_start timestamptz not null,
    current_period_end   timestamptz not null,
    constraint subscription_items_key primary key (subscription_id, id),
    constraint subscription_items_subscription foreign key (subscription_id) references recoup.subscriptions (id)
);
