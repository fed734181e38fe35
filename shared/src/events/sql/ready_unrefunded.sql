-- The ordinary charge: nothing of it, or of its payment, was ever given back as far as anyone knows here. Where that
-- does not hold nothing is recorded, and the statement for all charges has to be run.
with ready as (
    select
    where not exists (select from recoup.refunds where payment_id = $11)
        and not exists (select from recoup.refunds where charge_id = $10)
        and not exists (select from recoup.charges where payment_id = $11 and amount_refunded > 0)
        and not exists (select from recoup.charges where id = $10 and amount_refunded > 0)
)
