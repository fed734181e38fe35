-- Payouts whose state we know otherwise than Stripe lists it.
select listed.id, listed.status, listed.amount, kept.status as kept_status, kept.amount as kept_amount
from unnest($1::text[], $2::text[], $3::bigint[]) as listed (id, status, amount)
left join recoup.payouts as kept on kept.id = listed.id
where (kept.status, kept.amount) is distinct from (listed.status, listed.amount)
order by listed.id
