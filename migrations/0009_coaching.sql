-- One row a session that was bought, as with tickets.
create table recoup.coaching_sessions (
    order_id    text        not null,
    position    integer     not null,
    session     integer     not null,
    customer_id text        not null,
    coaching    text        not null,
    granted_at  timestamptz not null,
    revoked_at  timestamptz,
    constraint coaching_sessions_key primary key (order_id, position, session),
    constraint coaching_sessions_customer foreign key (customer_id) references recoup.customers (id),
    constraint coaching_sessions_item
        foreign key (order_id, position) references recoup.order_items (order_id, position),
    -- More sessions than this in one line is a mistake in the catalogue's quantity.
    constraint coaching_sessions_bound check (session between 1 and 1000)
);

create index coaching_sessions_customer_id on recoup.coaching_sessions (customer_id);
