-- Accounts that are connected to the platform, as each last described itself.
create table recoup.connected_accounts (
    id                text        not null,
    type              text,
    country           text,
    default_currency  text,
    charges_enabled   boolean     not null,
    payouts_enabled   boolean     not null,
    details_submitted boolean     not null,
    -- Why Stripe stopped charges or payouts, and what it asks for.
    disabled_reason   text,
    currently_due     text[]      not null,
    created_at        timestamptz,
    event_id          text        not null,
    event_created     timestamptz not null,
    event_rank        bigint      not null,
    needs_refetch     boolean     not null default false,
    constraint connected_accounts_key primary key (id)
);

create index connected_accounts_needs_refetch on recoup.connected_accounts (id) where needs_refetch;

-- Money on its way from Stripe's balance to a bank.
create table recoup.payouts (
    id                          text        not null,
    account                     text,
    status                      text        not null,
    -- Below zero where Stripe takes from the bank what the balance lacks.
    amount                      bigint      not null,
    currency                    text        not null,
    automatic                   boolean     not null,
    method                      text,
    arrival_date                timestamptz not null,
    balance_transaction         text,
    failure_balance_transaction text,
    failure_code                text,
    reconciliation_status       text,
    created_at                  timestamptz not null,
    event_id                    text        not null,
    event_created               timestamptz not null,
    event_rank                  bigint      not null,
    needs_refetch               boolean     not null default false,
    constraint payouts_key primary key (id)
);

create index payouts_needs_refetch on recoup.payouts (id) where needs_refetch;

alter table recoup.ledger_entries
    drop constraint ledger_entries_kind,
    add constraint ledger_entries_kind check (
        kind in (
            'charge', 'refund', 'refund_failure',
            'dispute', 'dispute_reversal', 'dispute_fee', 'dispute_fee_reversal',
            'payout', 'payout_failure'
        )
    );
