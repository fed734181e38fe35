-- What was bought. Natural keys make every grant idempotent, whichever path brings it.

create table recoup.enrollments (
    customer_id text        not null,
    course      text        not null,
    -- The order that grants it: among all that do, first those that were not taken back, then the earliest.
    order_id    text,
    position    integer,
    granted_at  timestamptz not null,
    revoked_at  timestamptz,
    constraint enrollments_customer_course_key primary key (customer_id, course),
    constraint enrollments_customer foreign key (customer_id) references recoup.customers (id),
    constraint enrollments_item foreign key (order_id, position) references recoup.order_items (order_id, position)
);

-- One row a seat.
create table recoup.tickets (
    order_id    text        not null,
    position    integer     not null,
    seat        integer     not null,
    customer_id text        not null,
    admits_to   text        not null,
    granted_at  timestamptz not null,
    revoked_at  timestamptz,
    constraint tickets_seat_key primary key (order_id, position, seat),
    constraint tickets_customer foreign key (customer_id) references recoup.customers (id),
    constraint tickets_item foreign key (order_id, position) references recoup.order_items (order_id, position),
    -- More seats than this in one line is a mistake in the catalogue's quantity.
    constraint tickets_seat_bound check (seat between 1 and 10000)
);

create index tickets_customer_id on recoup.tickets (customer_id);

-- Credits come (positive) and are spent (negative); what was taken back counts no longer.
create table recoup.credit_entries (
    -- order:<order>:<position> for what was bought; the application and operators choose their own.
    id          text        not null,
    customer_id text        not null,
    amount      bigint      not null,
    reason      text        not null,
    order_id    text,
    position    integer,
    granted_at  timestamptz not null,
    revoked_at  timestamptz,
    constraint credit_entries_key primary key (id),
    constraint credit_entries_customer foreign key (customer_id) references recoup.customers (id),
    constraint credit_entries_item foreign key (order_id, position) references recoup.order_items (order_id, position)
);

create index credit_entries_customer_id on recoup.credit_entries (customer_id);
create index credit_entries_order_id on recoup.credit_entries (order_id) where order_id is not null;

-- A balance is never below zero: where bought credits were spent and then refunded, the rest is the shortfall.
create view recoup.credit_balances as
select
    customer_id,
    greatest(sum(amount), 0)::bigint  as balance,
    greatest(-sum(amount), 0)::bigint as shortfall
from recoup.credit_entries
where revoked_at is null
group by customer_id;

-- Double entry, one row a movement from one account to another: whatever rows there are, they sum to zero in
-- each currency, because a row cannot be written that does not.
create table recoup.ledger_entries (
    source_id      text        not null,
    kind           text        not null,
    account        text,
    debit_account  text        not null,
    credit_account text        not null,
    amount         bigint      not null,
    currency       text        not null,
    posted_at      timestamptz not null,
    constraint ledger_entries_key primary key (source_id, kind),
    constraint ledger_entries_kind check (kind in ('charge', 'refund', 'refund_failure')),
    constraint ledger_entries_moves check (debit_account <> credit_account),
    constraint ledger_entries_amount check (amount > 0)
);

create view recoup.ledger_balances as
select account, ledger_account, currency, sum(amount)::numeric as balance
from (
    select account, debit_account as ledger_account, currency, amount from recoup.ledger_entries
    union all
    select account, credit_account, currency, -amount from recoup.ledger_entries
) as movements
group by account, ledger_account, currency;
