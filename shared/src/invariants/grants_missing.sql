-- Each line of a paid order has what it grants, unless the whole order was given back.
select 'order_items' as object, item.order_id || ' line ' || item.position as id
from recoup.orders as bought
join recoup.order_items as item on item.order_id = bought.id
left join recoup.payments as payment on payment.id = bought.payment_id
where bought.paid_at is not null
    and bought.event_created < $1
    and not coalesce(payment.amount_returned > 0 and payment.amount_returned >= bought.amount_total, false)
    and case
        when item.grants_kind in ('course', 'path') then exists (
            select from regexp_split_to_table(item.grants_ref, '\s*,\s*') as granted (course)
            where not exists (
                select from recoup.enrollments as enrollment
                where enrollment.customer_id = bought.customer_id
                    and enrollment.course = granted.course
                    and enrollment.revoked_at is null
            )
        )
        -- Too few or too many are grants_quantity's: here it is none at all, or some that were taken away.
        when item.grants_kind = 'ticket' then coalesce(
            (
                select bool_or(ticket.revoked_at is not null) from recoup.tickets as ticket
                where ticket.order_id = item.order_id and ticket.position = item.position
            ), true
        )
        when item.grants_kind = 'coaching' then coalesce(
            (
                select bool_or(coaching.revoked_at is not null) from recoup.coaching_sessions as coaching
                where coaching.order_id = item.order_id and coaching.position = item.position
            ), true
        )
        when item.grants_kind = 'credits' then not exists (
            select from recoup.credit_entries as credit
            where credit.order_id = item.order_id and credit.position = item.position and credit.revoked_at is null
        )
        -- A plan is granted by the invoices that bill it.
        when item.grants_kind = 'plan' then not exists (
            select from recoup.plan_grants as plan
            where plan.customer_id = bought.customer_id and plan.plan = item.grants_ref
        )
    end
