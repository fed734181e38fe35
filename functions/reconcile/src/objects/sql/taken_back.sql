-- What goes back takes back what was granted, or leaves it: as events/sql/take_back.sql says it. Expects `returned` and
-- `wrong_sum`.
, derived as (
    select id from wrong_sum
    union
    select returned.id
    from returned
    where not exists (select from recoup.payment_orders as paid where paid.id = returned.payment_id)
    union
    select returned.id
    from returned
    join recoup.payment_orders as paid on paid.id = returned.payment_id
    join recoup.orders as sale on sale.id = paid.order_id
    cross join lateral (
        select coalesce(returned.amount_returned > 0 and returned.amount_returned >= sale.amount_total, false) as all_of_it
    ) as given
    where exists (
            select from recoup.tickets as kept
            where kept.order_id = sale.id and (kept.revoked_at is not null) is distinct from given.all_of_it
        )
        or exists (
            select from recoup.coaching_sessions as kept
            where kept.order_id = sale.id and (kept.revoked_at is not null) is distinct from given.all_of_it
        )
        or exists (
            select from recoup.credit_entries as kept
            where kept.order_id = sale.id and (kept.revoked_at is not null) is distinct from given.all_of_it
        )
        or exists (
            select from recoup.enrollments as kept
            where kept.customer_id = sale.customer_id
                and kept.order_id = sale.id
                and (kept.revoked_at is not null) is distinct from given.all_of_it
        )
)
