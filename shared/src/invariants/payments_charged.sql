-- Money that a payment received came by a charge that succeeded.
select 'payments' as object, payment.id
from recoup.payments as payment
where payment.status = 'succeeded'
    and payment.amount_received > 0
    and payment.event_created < $1
    and not exists (
        select from recoup.charges as charge
        where charge.payment_id = payment.id and charge.status = 'succeeded' and charge.amount_captured > 0
    )
