-- What was given back of a payment. Expects `refunded_payment` (id,
-- account), `refund_now` (id, charge_id, status, amount, created_at, moves_money, event_created) and `charge_now`
-- (id, amount_refunded, event_created): all refunds and charges of the payment as they are with this event.
--
-- Between 2022-11-15 and 2024-10-28 no event shows a refund that was made, only its charge's sum does. So what
-- counts is the larger of the refunds that are known and what the charges say. A charge is not told that a
-- refund failed: what it said before the failure is less by that refund.
, given_back as (
    select
        refunded_payment.id,
        refunded_payment.account,
        greatest(known.amount, said.amount)::bigint as amount,
        case
            when known.amount >= said.amount then known.made_at
            else greatest(known.made_at, said.made_at)
        end as made_at
    from refunded_payment
    cross join (
        select coalesce(sum(amount), 0) as amount, max(created_at) as made_at
        from refund_now
        where moves_money and status not in ('failed', 'canceled')
    ) as known
    cross join (
        select coalesce(sum(charge.amount), 0) as amount, max(charge.event_created) as made_at
        from (
            select
                charge_now.event_created,
                charge_now.amount_refunded - coalesce(
                    (
                        select sum(refund_now.amount)
                        from refund_now
                        where refund_now.charge_id = charge_now.id
                            and refund_now.status in ('failed', 'canceled')
                            and refund_now.event_created >= charge_now.event_created
                    ), 0
                ) as amount
            from charge_now
        ) as charge
        where charge.amount > 0
    ) as said
)
, payment as (
    insert into recoup.payments as kept (id, account, amount_refunded, refunded_at)
    select id, account, amount, made_at from given_back
    on conflict (id) do update set
        amount_refunded = excluded.amount_refunded,
        refunded_at = excluded.refunded_at
    returning id, account, amount_returned, returned_at
)
