insert into recoup.balance_transactions as kept (
    id, account, type, reporting_category, source, amount, fee, net, currency, exchange_rate, created_at, available_on,
    payout_id, entry_source, entry_kind, counter_account
)
select
    listed.id, $1, listed.type, listed.reporting_category, listed.source, listed.amount, listed.fee, listed.net,
    listed.currency, listed.exchange_rate::numeric, listed.created_at, listed.available_on, $2, listed.entry_source,
    listed.entry_kind, listed.counter_account
from unnest(
    $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::bigint[], $10::text[], $11::text[],
    $12::timestamptz[], $13::timestamptz[], $14::text[], $15::text[], $16::text[]
) as listed (
    id, type, reporting_category, source, amount, fee, net, currency, exchange_rate, created_at, available_on,
    entry_source, entry_kind, counter_account
)
on conflict (id) do update set
    account = excluded.account,
    type = excluded.type,
    reporting_category = excluded.reporting_category,
    source = excluded.source,
    amount = excluded.amount,
    fee = excluded.fee,
    net = excluded.net,
    currency = excluded.currency,
    exchange_rate = excluded.exchange_rate,
    created_at = excluded.created_at,
    available_on = excluded.available_on,
    payout_id = coalesce(excluded.payout_id, kept.payout_id),
    entry_source = excluded.entry_source,
    entry_kind = excluded.entry_kind,
    counter_account = excluded.counter_account
-- Most are listed again as they are.
where (kept.account, kept.reporting_category, kept.amount, kept.fee, kept.net, kept.currency, kept.available_on,
        kept.entry_source, kept.entry_kind, kept.counter_account, kept.payout_id)
    is distinct from
        (excluded.account, excluded.reporting_category, excluded.amount, excluded.fee, excluded.net, excluded.currency,
        excluded.available_on, excluded.entry_source, excluded.entry_kind, excluded.counter_account,
        coalesce(excluded.payout_id, kept.payout_id))
