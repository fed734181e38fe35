-- Money that moved is in the ledger, with its amount and currency.
select moved.object, moved.id
from (
    select 'charges' as object, id, 'charge' as kind, amount_captured as amount, currency
    from recoup.charges
    where status = 'succeeded' and amount_captured > 0 and event_created < $1
    union all
    select 'refunds', id, 'refund', amount, currency
    from recoup.refunds
    where moves_money and amount > 0 and event_created < $1
    union all
    select 'refunds', id, 'refund_failure', amount, currency
    from recoup.refunds
    where moves_money and amount > 0 and status in ('failed', 'canceled') and event_created < $1
    union all
    select 'payouts', id, 'payout', abs(amount), currency
    from recoup.payouts
    where status = 'paid' and amount <> 0 and event_created < $1
) as moved
left join recoup.ledger_entries as entry on entry.source_id = moved.id and entry.kind = moved.kind
where (entry.amount, entry.currency) is distinct from (moved.amount, moved.currency)
group by moved.object, moved.id
