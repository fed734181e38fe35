-- Charges that were made before the window, and of which some captures lie before it too: less is listed than the
-- ledger has.
select distinct entry_source
from recoup.balance_comparison
where account is not distinct from $1
    and created_at between $2 and $3
    and entry_kind = 'charge'
    and amount_difference = 'amount'
    and amount < ledger_amount
order by entry_source
limit $4
