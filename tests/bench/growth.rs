//! Filling the inbox, to see whether the receiver slows down as it grows.

use std::time::Instant;

use sqlx::PgPool;

use crate::Result;

/// Rows of one statement.
const BATCH_ROWS: i64 = 500_000;
/// Rows `$1` to `$2` of `$3`, a second apart, the last one a second before `$4`. They are of a receiver's making: ids
/// begin with their time, as Stripe's do, so that rows come in the order of every index. That is also what makes it
/// quick with the indexes in place.
const FILL: &str = r#"
insert into recoup.webhook_events
    (id, type, api_version, livemode, created, payload, received_at, source, status, processed_at)
select
    id, 'charge.succeeded', '2026-09-30.endive', false, created,
    format(
        '{"id":"%1$s","object":"event","api_version":"2026-09-30.endive","created":%2$s,"data":{"object":{"id":"ch_%3$s",'
        '"object":"charge","amount":%4$s,"amount_captured":%4$s,"amount_refunded":0,"balance_transaction":"txn_%3$s",'
        '"currency":"eur","customer":"cus_%3$s","captured":true,"paid":true,"payment_intent":"pi_%3$s",'
        '"payment_method_details":{"card":{"brand":"visa","country":"DE","last4":"4242"},"type":"card"},'
        '"refunded":false,"status":"succeeded","livemode":false}},"livemode":false,"pending_webhooks":1,'
        '"request":{"id":"req_%3$s","idempotency_key":null},"type":"charge.succeeded"}',
        id, extract(epoch from created)::bigint, word, number % 50000
    ),
    created, 'webhook', 'processed', created
from
    generate_series($1::bigint, $2::bigint) as number,
    lateral (select md5(number::text) as word, to_timestamp($4::bigint - 1 - ($3::bigint - number)) as created) as row,
    lateral (select format('evt_1%s%s', lpad(to_hex(number), 8, '0'), left(word, 16)) as id) as named"#;

/// Adds this many rows, older than `before` (seconds since 1970), and says what was added.
pub async fn fill(pool: &PgPool, rows: u64, before: i64) -> Result<String> {
    let rows = i64::try_from(rows)?;
    let started = Instant::now();
    let mut first = 1;
    while first <= rows {
        let last = rows.min(first + BATCH_ROWS - 1);
        sqlx::query(FILL).bind(first).bind(last).bind(rows).bind(before).execute(pool).await?;
        first = last + 1;
    }
    // Else autovacuum would do it while somebody measures.
    sqlx::query("vacuum (analyze) recoup.webhook_events").execute(pool).await?;
    sqlx::query("checkpoint").execute(pool).await?;
    let size = "select avg(octet_length(payload))::bigint, pg_total_relation_size('recoup.webhook_events')
        from (select payload from recoup.webhook_events order by created limit 1000) as oldest";
    let (payload_bytes, total_bytes): (i64, i64) = sqlx::query_as(size).fetch_one(pool).await?;
    Ok(format!(
        "{rows} more of {payload_bytes} bytes each ({:.1} GB with indexes, filled in {:.0} s)",
        total_bytes as f64 / 1e9,
        started.elapsed().as_secs_f64()
    ))
}
