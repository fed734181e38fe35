, payout as (
    insert into recoup.payouts as kept (
        id, account, status, amount, currency, automatic, method, arrival_date, balance_transaction,
        failure_balance_transaction, failure_code, reconciliation_status, created_at,
        event_id, event_created, event_rank
    )
    select
        $10, account, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, event_id, event_created, event_rank
    from event
    on conflict (id) do update set
        status = excluded.status,
        amount = excluded.amount,
        currency = excluded.currency,
        automatic = excluded.automatic,
        method = excluded.method,
        arrival_date = excluded.arrival_date,
        balance_transaction = excluded.balance_transaction,
        failure_balance_transaction = excluded.failure_balance_transaction,
        failure_code = excluded.failure_code,
        reconciliation_status = excluded.reconciliation_status,
        created_at = excluded.created_at,
        event_id = excluded.event_id,
        event_created = excluded.event_created,
        event_rank = excluded.event_rank,
        needs_refetch = (kept.event_created, kept.event_rank) = (excluded.event_created, excluded.event_rank)
            and kept.event_id <> excluded.event_id
    where (kept.event_created, kept.event_rank) <= (excluded.event_created, excluded.event_rank)
    returning needs_refetch
)
, tied as (
    select 1 from payout where needs_refetch
    union all
    -- An earlier delivery was cut off before it settled the tie.
    select 1 from recoup.payouts where id = $10 and needs_refetch and not exists (select from event)
)
-- The money leaves when the payout is paid. One that fails may have been paid before or not: both movements are
-- written, whatever order Stripe's events arrive in.
, posted as (
    insert into recoup.ledger_entries
        (source_id, kind, account, debit_account, credit_account, amount, currency, posted_at)
    select $10, movement.kind, account, movement.debit_account, movement.credit_account, abs($12), $13, $21
    from event
    cross join lateral (
        values
            ('payout', 1, 'bank', 'stripe_balance'),
            ('payout', -1, 'stripe_balance', 'bank'),
            ('payout_failure', 1, 'stripe_balance', 'bank'),
            ('payout_failure', -1, 'bank', 'stripe_balance')
    ) as movement (kind, direction, debit_account, credit_account)
    where movement.direction = sign($12)
        and ($11 = 'failed' or ($11 = 'paid' and movement.kind = 'payout'))
    on conflict (source_id, kind) do nothing
)
