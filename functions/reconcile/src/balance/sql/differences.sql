-- Where Stripe and the ledger differ, with the number of each kind; of each kind the first two hundred.
with difference as (
    select
        id, currency, 'amount' as field, amount_difference as how, amount as stripe,
        coalesce(case when amount_difference in ('currency', 'origin') then entry_amount end, ledger_amount) as ours,
        reporting_category, entry_source, entry_kind, entry_currency, origin_amount, created_at
    from recoup.balance_comparison
    where account is not distinct from $1 and created_at between $2 and $3 and amount_difference is not null
    union all
    select
        id, currency, 'fee', fee_difference, fee, ledger_fee, reporting_category, entry_source, entry_kind,
        null, null, created_at
    from recoup.balance_comparison
    where account is not distinct from $1 and created_at between $2 and $3 and fee_difference is not null
    union all
    select
        id, currency, 'net', 'sum', net, amount - fee, reporting_category, entry_source, entry_kind,
        null, null, created_at
    from recoup.balance_transactions
    where account is not distinct from $1 and created_at between $2 and $3 and net <> amount - fee
)
select *
from (
    select
        *,
        count(*) over (partition by field, how)                                as of_its_kind,
        row_number() over (partition by field, how order by created_at, id) as position
    from difference
) as numbered
where position <= 200
order by field, how, position
