-- What was given back of the payment: as events/sql/given_back.sql says it.
, given_back as (
    select kept.id, kept.payment_id, greatest(known.amount, said.amount) as amount
    from expected
    join recoup.refunds as kept on kept.id = expected.id
    cross join lateral (
        select coalesce(sum(other.amount), 0) as amount
        from recoup.refunds as other
        where other.payment_id = kept.payment_id
            and other.moves_money
            and other.status not in ('failed', 'canceled')
    ) as known
    cross join lateral (
        select coalesce(sum(charge.amount), 0) as amount
        from (
            select
                charges.amount_refunded - coalesce(
                    (
                        select sum(other.amount)
                        from recoup.refunds as other
                        where other.charge_id = charges.id
                            and other.status in ('failed', 'canceled')
                            and other.event_created >= charges.event_created
                    ), 0
                ) as amount
            from recoup.charges
            where charges.payment_id = kept.payment_id
        ) as charge
        where charge.amount > 0
    ) as said
    where kept.payment_id is not null
)
, returned as (
    select given_back.id, payment.id as payment_id, payment.amount_returned
    from given_back
    left join recoup.payments as payment on payment.id = given_back.payment_id
)
, wrong_sum as (
    select given_back.id
    from given_back
    left join recoup.payments as payment on payment.id = given_back.payment_id
    where payment.amount_refunded is distinct from given_back.amount
)
