, lost as (
    select
        kept.id,
        kept.payment_id,
        (
            select coalesce(sum(other.amount), 0) from recoup.disputes as other
            where other.payment_id = kept.payment_id and other.status = 'lost'
        ) as amount
    from expected
    join recoup.disputes as kept on kept.id = expected.id
    where kept.payment_id is not null
)
, returned as (
    select lost.id, payment.id as payment_id, payment.amount_returned
    from lost
    left join recoup.payments as payment on payment.id = lost.payment_id
)
, wrong_sum as (
    select lost.id
    from lost
    left join recoup.payments as payment on payment.id = lost.payment_id
    where payment.amount_lost is distinct from lost.amount
)
