-- The money leaves when the refund is made and comes back when it fails: both are written, whatever order
-- Stripe's events arrive in.
, posted as (
    insert into recoup.ledger_entries
        (source_id, kind, account, debit_account, credit_account, amount, currency, posted_at)
    select $10, movement.kind, account, movement.debit_account, movement.credit_account, $14, $15, $18
    from event
    cross join (
        values
            ('refund', 'refunds', 'stripe_balance'),
            ('refund_failure', 'stripe_balance', 'refunds')
    ) as movement (kind, debit_account, credit_account)
    where $14 > 0 and (movement.kind = 'refund' or $13 in ('failed', 'canceled'))
    on conflict (source_id, kind) do nothing
)
