-- The latest event says what the invoice is. When it was collected only one of its events says, however late that
-- event comes.
, invoice as (
    insert into recoup.invoices as kept (
        id, account, customer_id, subscription_id, payment_id, status, number, billing_reason, collection_method,
        currency, amount_due, amount_paid, total, attempt_count, next_payment_attempt, due_at, finalized_at, paid_at,
        paid_out_of_band, collected_at, lines_complete, created_at, event_id, event_created, event_rank
    )
    select
        $10, account, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25,
        case when $14 = 'paid' then coalesce($26, event_created) end,
        $27, case when $28 then coalesce($39, event_created) end, $29, $30, event_id, event_created, event_rank
    from event
    on conflict (id) do update set
        (
            customer_id, subscription_id, payment_id, status, number, billing_reason, collection_method, currency,
            amount_due, amount_paid, total, attempt_count, next_payment_attempt, due_at, finalized_at, paid_at,
            paid_out_of_band, lines_complete, created_at, event_id, event_created, event_rank
        ) = (
            select
                customer_id, subscription_id,
                -- Newer API versions no longer say these two. That does not take back what older ones said.
                coalesce(payment_id, kept.payment_id, excluded.payment_id),
                status, number, billing_reason, collection_method, currency,
                amount_due, amount_paid, total, attempt_count, next_payment_attempt, due_at, finalized_at, paid_at,
                coalesce(paid_out_of_band, kept.paid_out_of_band, excluded.paid_out_of_band),
                lines_complete, created_at, event_id, event_created, event_rank
            from unnest(array[kept, excluded]) with ordinality as known
            order by known.event_created desc, known.event_rank desc, known.ordinality desc
            limit 1
        ),
        collected_at = least(kept.collected_at, excluded.collected_at),
        needs_refetch = case
            when (kept.event_created, kept.event_rank) < (excluded.event_created, excluded.event_rank) then false
            when (kept.event_created, kept.event_rank) = (excluded.event_created, excluded.event_rank)
                then kept.event_id <> excluded.event_id
            else kept.needs_refetch
        end
    returning id, event_id, needs_refetch
)
, tied as (
    select 1 from invoice where needs_refetch
    union all
    -- An earlier delivery was cut off before it settled the tie.
    select 1 from recoup.invoices where id = $10 and needs_refetch and not exists (select from event)
)
-- Only the event that wrote the invoice writes its lines.
, written as (
    select invoice.id from invoice join event using (event_id)
)
, gone as (
    delete from recoup.invoice_lines as kept
    using written
    where kept.invoice_id = written.id and kept.position > cardinality($31::text[])
)
, line as (
    insert into recoup.invoice_lines (
        invoice_id, position, id, subscription_id, price_id, product_id, quantity, amount, period_start, period_end
    )
    select
        written.id, line.position, line.id, line.subscription_id, line.price_id, line.product_id, line.quantity,
        line.amount, line.period_start, line.period_end
    from written
    cross join unnest(
        $31::text[], $32::text[], $33::text[], $34::text[], $35::bigint[], $36::bigint[], $37::timestamptz[],
        $38::timestamptz[]
    ) with ordinality as line (
        id, subscription_id, price_id, product_id, quantity, amount, period_start, period_end, position
    )
    on conflict (invoice_id, position) do update set
        id = excluded.id,
        subscription_id = excluded.subscription_id,
        price_id = excluded.price_id,
        product_id = excluded.product_id,
        quantity = excluded.quantity,
        amount = excluded.amount,
        period_start = excluded.period_start,
        period_end = excluded.period_end
)
-- Until 2025-03-31 an invoice names its payment. Sessions sell no invoice but a subscription's first.
, billed as (
    select distinct known.id, $13 as payment_id
    from unnest(array[$10, $12]) as known (id)
    where known.id is not null and $13::text is not null and $16 = 'subscription_create'
)
