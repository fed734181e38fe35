-- What each automatic payout paid out, beside the sum of what it is made of, at Stripe and in the ledger.
select
    payout_id, currency,
    count(*) filter (where not own)                                             as transactions,
    coalesce(-sum(net) filter (where own), 0)::bigint                           as paid_out,
    coalesce(sum(amount) filter (where not own), 0)::bigint                     as gross,
    coalesce(sum(fee) filter (where not own), 0)::bigint                        as fee,
    coalesce(sum(net) filter (where not own), 0)::bigint                        as net,
    coalesce(sum(ledger_amount - ledger_fee) filter (where not own), 0)::bigint as ledger_net
from (
    select
        *,
        coalesce(entry_kind = 'payout' and entry_source = payout_id, false) as own
    from recoup.balance_comparison
    where payout_id = any ($1)
) as paid
group by payout_id, currency
order by payout_id, currency
