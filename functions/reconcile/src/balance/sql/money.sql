-- What moved, by day, currency and category, at Stripe and in the ledger. Never a sum over two currencies.
select
    day::text, currency, reporting_category,
    count(*)                                                    as transactions,
    sum(amount)::bigint                                         as gross,
    sum(fee)::bigint                                            as fee,
    sum(net)::bigint                                            as net,
    sum(ledger_amount)::bigint                                  as ledger_gross,
    sum(ledger_fee)::bigint                                     as ledger_fee,
    coalesce(sum(amount) filter (where awaited), 0)::bigint     as awaited
from recoup.balance_comparison
where account is not distinct from $1 and created_at between $2 and $3
group by balance_comparison.day, currency, reporting_category
order by balance_comparison.day, currency, reporting_category
