-- Of these payouts, those whose transactions were listed before.
select distinct entry_source
from recoup.balance_transactions
where entry_kind = 'payout' and entry_source = any ($1) and payout_id = entry_source
