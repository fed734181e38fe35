-- Money that a buyer's bank takes back, and the fee that Stripe takes beside it.

create table recoup.disputes (
    id              text        not null,
    account         text,
    charge_id       text        not null,
    payment_id      text,
    -- A charge that was made without a payment intent: nothing of ours hangs on it.
    charge_alone    boolean     not null,
    status          text        not null,
    amount          bigint      not null,
    currency        text        not null,
    reason          text,
    evidence_due_by timestamptz,
    created_at      timestamptz not null,
    -- The first event that showed it lost; it counts only while `status` says so.
    lost_at         timestamptz,
    event_id        text        not null,
    event_created   timestamptz not null,
    event_rank      bigint      not null,
    needs_refetch   boolean     not null default false,
    constraint disputes_key primary key (id),
    constraint disputes_payment foreign key (payment_id) references recoup.payments (id),
    -- Before 2020 a dispute names its charge alone. Where that charge was not seen yet, the dispute waits for it
    -- as a failed event.
    constraint disputes_charge_is_known check (payment_id is not null or charge_alone)
);

create index disputes_needs_refetch on recoup.disputes (id) where needs_refetch;

create index disputes_payment_id on recoup.disputes (payment_id);

-- What went back to the buyer, by refunds and by lost disputes. Each family sums its own.
alter table recoup.payments
    add column amount_lost     bigint not null default 0,
    add column lost_at         timestamptz,
    add column amount_returned bigint      not null generated always as (amount_refunded + amount_lost) stored,
    add column returned_at     timestamptz generated always as (greatest(refunded_at, lost_at)) stored;

comment on column recoup.payments.amount_returned is
    'Refunds that did not fail and disputes that were lost. Once it reaches the order''s total, the order''s grants are taken back.';

alter table recoup.ledger_entries
    drop constraint ledger_entries_kind,
    add constraint ledger_entries_kind check (
        kind in (
            'charge', 'refund', 'refund_failure',
            'dispute', 'dispute_reversal', 'dispute_fee', 'dispute_fee_reversal'
        )
    );
