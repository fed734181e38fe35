-- What no event tells of: fees, movements without an object of ours, and what became of money of another currency.
-- Each entry is known by its transaction, so that it is posted once, whoever posts it.
with listed as (
    select * from recoup.balance_transactions where id = any ($1)
)
, converted as (
    select listed.*, entry.amount as entry_amount, entry.currency as entry_currency
    from listed
    join recoup.ledger_entries as entry
        on entry.source_id = listed.entry_source and entry.kind = listed.entry_kind
    where entry.currency <> listed.currency
        and listed.exchange_rate is not null
        -- Of what was captured in several steps nobody says which part became what.
        and not exists (
            select from recoup.balance_transactions as other
            where other.entry_source = listed.entry_source
                and other.entry_kind = listed.entry_kind
                and other.id <> listed.id
        )
)
, movement (id, kind, from_account, to_account, amount, currency) as (
    -- A dispute's fee is posted by its event.
    select id, case when fee > 0 then 'fee' else 'fee_reversal' end, 'stripe_balance', 'fees', fee, currency
    from listed
    where fee <> 0 and coalesce(entry_kind, '') not in ('dispute', 'dispute_reversal')
    union all
    select id, 'transaction', counter_account, 'stripe_balance', amount, currency
    from listed
    where amount <> 0 and counter_account is not null
    union all
    select id, 'conversion_from', 'stripe_balance', 'conversion', sign(amount)::bigint * entry_amount, entry_currency
    from converted
    where amount <> 0
    union all
    select id, 'conversion_to', 'conversion', 'stripe_balance', amount, currency
    from converted
    where amount <> 0
)
, posted as (
    insert into recoup.ledger_entries
        (source_id, kind, account, debit_account, credit_account, amount, currency, posted_at)
    select
        movement.id, movement.kind, listed.account,
        -- What goes the other way changes sides, for an amount is never below zero.
        case when movement.amount > 0 then movement.to_account else movement.from_account end,
        case when movement.amount > 0 then movement.from_account else movement.to_account end,
        abs(movement.amount), movement.currency, listed.created_at
    from movement
    join listed using (id)
    on conflict (source_id, kind) do nothing
    returning source_id, kind, debit_account, credit_account, amount, currency
)
, audited as (
    insert into recoup.audit_log (actor, action, subject, reason, after)
    select
        'reconcile', 'post ledger entries', 'balance_transaction ' || source_id,
        'Stripe lists it, and no event tells of it',
        jsonb_agg(
            jsonb_build_object(
                'kind', kind, 'debit_account', debit_account, 'credit_account', credit_account, 'amount', amount,
                'currency', currency
            )
            order by kind
        )
    from posted
    group by source_id
)
select count(*) from posted
