-- Nobody has spent credits that were given back.
select 'customers' as object, customer_id as id
from recoup.credit_balances
where shortfall > 0
