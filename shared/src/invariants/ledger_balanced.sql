-- Each movement takes from one account what it puts into another, so that the accounts of a currency sum to zero.
select 'ledger_entries' as object, entry.source_id || ' ' || entry.kind as id
from recoup.ledger_entries as entry
where entry.amount <= 0 or entry.debit_account = entry.credit_account
union all
select 'ledger_balances', concat_ws(' ', account, currency)
from recoup.ledger_balances
group by account, currency
having sum(balance) <> 0
