-- No more is refunded than was paid.
select 'payments' as object, payment.id
from recoup.payments as payment
where payment.amount_received is not null
    and payment.event_created < $1
    and (
        payment.amount_refunded > payment.amount_received
        or (
            select coalesce(sum(refund.amount), 0) from recoup.refunds as refund
            where refund.payment_id = payment.id
                and refund.moves_money
                and refund.status not in ('failed', 'canceled')
        ) > payment.amount_received
    )
