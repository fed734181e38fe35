-- The latest event says what the dispute is; when it was lost is what the first event says that shows it, so that
-- neither depends on the order of deliveries.
, dispute as (
    insert into recoup.disputes as kept (
        id, account, charge_id, payment_id, charge_alone, status, amount, currency, reason, evidence_due_by,
        created_at, lost_at, event_id, event_created, event_rank
    )
    select
        $10, account, $11, coalesce($12, charge.payment_id),
        $12 is null and charge.id is not null and charge.payment_id is null,
        $13, $14, $15, $16, $17, $18, case when $13 = 'lost' then event_created end,
        event_id, event_created, event_rank
    from event
    left join (select id, payment_id from recoup.charges where id = $11) as charge on true
    on conflict (id) do update set
        (
            charge_id, payment_id, charge_alone, status, amount, currency, reason, evidence_due_by, created_at,
            event_id, event_created, event_rank
        ) = (
            select
                charge_id, coalesce(payment_id, kept.payment_id), charge_alone, status, amount, currency, reason,
                evidence_due_by, created_at, event_id, event_created, event_rank
            from unnest(array[kept, excluded]) with ordinality as known
            order by known.event_created desc, known.event_rank desc, known.ordinality desc
            limit 1
        ),
        lost_at = least(kept.lost_at, excluded.lost_at),
        needs_refetch = case
            when (kept.event_created, kept.event_rank) < (excluded.event_created, excluded.event_rank) then false
            when (kept.event_created, kept.event_rank) = (excluded.event_created, excluded.event_rank)
                then kept.event_id <> excluded.event_id
            else kept.needs_refetch
        end
    returning id, account, payment_id, status, amount, lost_at, needs_refetch
)
, tied as (
    select 1 from dispute where needs_refetch
    union all
    -- An earlier delivery was cut off before it settled the tie.
    select 1 from recoup.disputes where id = $10 and needs_refetch and not exists (select from event)
)
-- All disputes of the payment that were lost: this one as it is now, the others as they are kept.
, lost as (
    select payment_id, amount, lost_at from dispute where status = 'lost'
    union all
    select other.payment_id, other.amount, other.lost_at
    from dispute
    join recoup.disputes as other on other.payment_id = dispute.payment_id and other.id <> dispute.id
    where other.status = 'lost'
)
, payment as (
    insert into recoup.payments as kept (id, account, amount_lost, lost_at)
    select dispute.payment_id, dispute.account, coalesce(sum(lost.amount), 0), max(lost.lost_at)
    from dispute
    left join lost on lost.payment_id = dispute.payment_id
    where dispute.payment_id is not null
    group by dispute.payment_id, dispute.account
    on conflict (id) do update set
        amount_lost = excluded.amount_lost,
        lost_at = excluded.lost_at
    returning id, account, amount_returned, returned_at
)
