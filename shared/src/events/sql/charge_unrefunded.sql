-- The payment's row is made where its own event has not arrived yet.
, payment_made as (
    insert into recoup.payments (id, account)
    select $11, account
    from event
    where $11::text is not null
    on conflict (id) do nothing
)
