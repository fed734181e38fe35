-- What the tables say of how everything stands.
select
    (select count(*) from recoup.webhook_events where status = 'failed')                        as failed,
    (select count(*) from recoup.webhook_events where status = 'dead')                          as dead,
    (select min(received_at) from recoup.webhook_events where status in ('failed', 'dead'))     as oldest_unsettled_at,
    -- Due for another try for a quarter of an hour: nobody tries.
    (
        select count(*) from recoup.webhook_events
        where status = 'failed' and next_attempt_at < now() - interval '15 minutes'
    )                                                                                           as overdue,
    (
        select count(*)
        from (
            select from recoup.customers where needs_refetch
            union all
            select from recoup.catalog_items where needs_refetch
            union all
            select from recoup.payments where needs_refetch
            union all
            select from recoup.charges where needs_refetch
            union all
            select from recoup.refunds where needs_refetch
            union all
            select from recoup.disputes where needs_refetch
            union all
            select from recoup.subscriptions where needs_refetch
            union all
            select from recoup.invoices where needs_refetch
            union all
            select from recoup.connected_accounts where needs_refetch
            union all
            select from recoup.payouts where needs_refetch
        ) as marked
    )                                                                                           as marked,
    (
        select max(finished_at) from recoup.reconciliations
        where scope = 'events' and status = 'completed' and not dry_run
    )                                                                                           as reconciled_at,
    (
        select max(finished_at) from recoup.verifications
        where action = 'drill' and status = 'passed'
    )                                                                                           as restored_at
