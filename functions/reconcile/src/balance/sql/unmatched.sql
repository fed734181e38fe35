-- Entries of the ledger that events wrote and that no listed transaction explains. What went and came back without
-- Stripe's balance ever seeing it, such as a refund that failed while it was pending, is none; nor is a refund that is
-- pending still.
with unmatched as (
    select entry.source_id, entry.kind, entry.amount, entry.currency, entry.posted_at
    from recoup.ledger_entries as entry
    where entry.account is not distinct from $1
        and entry.posted_at between $2 and $3
        and entry.kind in (
            'charge', 'refund', 'refund_failure', 'dispute', 'dispute_reversal', 'payout', 'payout_failure'
        )
        and not exists (
            select from recoup.balance_transactions as moved
            where moved.entry_source = entry.source_id and moved.entry_kind = entry.kind
        )
)
select
    unmatched.source_id, unmatched.kind, unmatched.amount, unmatched.currency,
    count(*) over () as in_all
from unmatched
where not exists (
        select from unmatched as back
        where back.source_id = unmatched.source_id
            and (unmatched.kind, back.kind) in (
                ('refund', 'refund_failure'), ('refund_failure', 'refund'),
                ('payout', 'payout_failure'), ('payout_failure', 'payout')
            )
    )
    and not exists (
        select from recoup.refunds as refund
        where unmatched.kind = 'refund'
            and refund.id = unmatched.source_id
            and refund.status in ('pending', 'requires_action')
    )
order by unmatched.posted_at, unmatched.source_id, unmatched.kind
limit $4
