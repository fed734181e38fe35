-- The disputed amount and the fee are movements of their own. Each is known by its balance transaction, so that
-- every event that shows it posts the same entry.
, posted as (
    insert into recoup.ledger_entries
        (source_id, kind, account, debit_account, credit_account, amount, currency, posted_at)
    select
        moved.id, movement.kind, event.account, movement.debit_account, movement.credit_account, movement.amount,
        moved.currency, moved.created
    from event
    cross join unnest($19::text[], $20::bigint[], $21::bigint[], $22::text[], $23::timestamptz[])
        as moved (id, amount, fee, currency, created)
    cross join lateral (
        values
            ('dispute', 'disputes', 'stripe_balance', -moved.amount),
            ('dispute_reversal', 'stripe_balance', 'disputes', moved.amount),
            ('dispute_fee', 'fees', 'stripe_balance', moved.fee),
            ('dispute_fee_reversal', 'stripe_balance', 'fees', -moved.fee)
    ) as movement (kind, debit_account, credit_account, amount)
    where movement.amount > 0
    on conflict (source_id, kind) do nothing
)
