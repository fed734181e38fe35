-- Stands in the place of record_applied.sql where an object is written from an event that is in the inbox already,
-- or from what Stripe's API says of it. Its key is the one that the row has.
with event as (
    select $1::text as event_id, $4::text as account, $6::timestamptz as event_created, ($9::bigint[])[1] as event_rank
)
