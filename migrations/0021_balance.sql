-- What moved money at Stripe, as Stripe lists it: reconcile balance holds the ledger against it, and posts what no
-- event tells of. Balance transactions never change at Stripe, save when their money can be paid out.
create table recoup.balance_transactions (
    id                 text        not null,
    account            text,
    type               text        not null,
    -- What Stripe's own reports group by (Stripe documentation, "Reporting categories").
    reporting_category text        not null,
    -- The object that moved the money.
    source             text,
    -- Below zero where money left the balance.
    amount             bigint      not null,
    fee                bigint      not null,
    net                bigint      not null,
    currency           text        not null,
    -- Where it was paid in another currency: units of this one for one of that.
    exchange_rate      numeric,
    created_at         timestamptz not null,
    available_on       timestamptz not null,
    -- The automatic payout that paid it out, once Stripe says so.
    payout_id          text,
    -- The entry of the ledger that an event writes for it.
    entry_source       text,
    entry_kind         text,
    -- The account of the ledger that reconcile posts it against, where no event does. Where there is neither, it is not
    -- known what such a transaction is.
    counter_account    text,
    constraint balance_transactions_key primary key (id),
    constraint balance_transactions_currency check (currency ~ '^[a-z]{3}$'),
    constraint balance_transactions_entry check ((entry_source is null) = (entry_kind is null)),
    constraint balance_transactions_posted_once check (entry_kind is null or counter_account is null)
);

create index balance_transactions_created_at on recoup.balance_transactions (created_at);
create index balance_transactions_entry on recoup.balance_transactions (entry_source, entry_kind);
create index balance_transactions_payout_id on recoup.balance_transactions (payout_id) where payout_id is not null;

comment on table recoup.balance_transactions is
    'Stripe''s balance transactions, as reconcile {"action":"balance"} listed them.';

-- transaction: a movement that no event tells of. fee: what Stripe kept of a movement. conversion_…: what was paid in
-- one currency left it, and came to the balance in another; each currency sums to zero by itself.
alter table recoup.ledger_entries
    drop constraint ledger_entries_kind,
    add constraint ledger_entries_kind check (
        kind in (
            'charge', 'refund', 'refund_failure',
            'dispute', 'dispute_reversal', 'dispute_fee', 'dispute_fee_reversal',
            'payout', 'payout_failure',
            'transaction', 'fee', 'fee_reversal', 'conversion_from', 'conversion_to'
        )
    );

-- Each balance transaction beside what the ledger says of it. `ledger_amount` and `ledger_fee` have Stripe's sign; null
-- where the ledger has nothing.
create view recoup.balance_comparison as
select
    moved.id,
    moved.account,
    moved.created_at,
    (moved.created_at at time zone 'UTC')::date as day,
    moved.currency,
    moved.reporting_category,
    moved.payout_id,
    moved.entry_source,
    moved.entry_kind,
    moved.amount,
    moved.fee,
    moved.net,
    coalesce(found.ledger_amount, 0)            as ledger_amount,
    coalesce(own.fee, 0)                        as ledger_fee,
    found.awaited,
    case
        when found.awaited or (moved.amount = 0 and found.ledger_amount is null) then null
        when moved.entry_kind is null and moved.counter_account is null then 'unknown'
        when entry.effect is null and moved.entry_kind is not null then 'missing'
        when entry.currency <> moved.currency and moved.exchange_rate is null then 'currency'
        when entry.currency <> moved.currency
            and (abs(entry.effect), entry.currency) is distinct from (origin.amount, origin.currency) then 'origin'
        when found.ledger_amount is null then 'missing'
        when found.ledger_amount <> moved.amount then 'amount'
    end                                         as amount_difference,
    case
        when coalesce(own.fee, 0) = moved.fee then null
        when own.fee is null then 'missing'
        else 'amount'
    end                                         as fee_difference,
    entry.effect                                as entry_amount,
    entry.currency                              as entry_currency,
    origin.amount                               as origin_amount
from recoup.balance_transactions as moved
-- What an event wrote.
left join lateral (
    select
        case
            when posted.debit_account = 'stripe_balance' then posted.amount
            when posted.credit_account = 'stripe_balance' then -posted.amount
            else 0
        end as effect,
        posted.currency
    from recoup.ledger_entries as posted
    where posted.source_id = moved.entry_source and posted.kind = moved.entry_kind
) as entry on true
-- What is filed under the transaction's own id.
cross join lateral (
    select
        sum(effect) filter (where kind = 'transaction')::bigint   as transaction,
        sum(effect) filter (where kind = 'conversion_to')::bigint as converted,
        -sum(effect) filter (where kind in ('fee', 'fee_reversal', 'dispute_fee', 'dispute_fee_reversal'))::bigint as fee
    from (
        select
            posted.kind,
            case
                when posted.debit_account = 'stripe_balance' then posted.amount
                when posted.credit_account = 'stripe_balance' then -posted.amount
                else 0
            end as effect
        from recoup.ledger_entries as posted
        where posted.source_id = moved.id and posted.currency = moved.currency
    ) as movement
) as own
-- A charge that is captured in several steps has a transaction for each of them, and one entry.
cross join lateral (
    select coalesce(sum(other.amount), 0)::bigint as amount
    from recoup.balance_transactions as other
    where other.entry_source = moved.entry_source and other.entry_kind = moved.entry_kind and other.id <> moved.id
) as others
-- In another currency than the balance's: what the rows say was paid.
left join lateral (
    select charge.amount_captured as amount, charge.currency
    from recoup.charges as charge
    where moved.entry_kind = 'charge' and charge.id = moved.entry_source
    union all
    select refund.amount, refund.currency
    from recoup.refunds as refund
    where moved.entry_kind in ('refund', 'refund_failure') and refund.id = moved.entry_source
    union all
    select abs(payout.amount), payout.currency
    from recoup.payouts as payout
    where moved.entry_kind in ('payout', 'payout_failure') and payout.id = moved.entry_source
) as origin on entry.currency <> moved.currency
cross join lateral (
    select
        case
            when moved.entry_kind is null then own.transaction
            when entry.currency <> moved.currency then own.converted
            else entry.effect - others.amount
        end as ledger_amount,
        -- The ledger has a payout once it is paid, and a canceled one never; Stripe's balance has both at once.
        entry.effect is null
        and exists (
            select from recoup.payouts as payout
            where payout.id = moved.entry_source
                and (
                    (moved.entry_kind = 'payout' and payout.status in ('pending', 'in_transit', 'canceled'))
                    or (moved.entry_kind = 'payout_failure' and payout.status = 'canceled')
                )
        ) as awaited
) as found;

comment on view recoup.balance_comparison is
    'Stripe''s balance transactions beside the ledger; amount_difference and fee_difference are null where they agree.';

select recoup.capture_table('recoup.balance_transactions', '{}', true);
