//! A payments database of a chosen size: what a shop with Stripe has after years, in our tables and in one of the
//! application's own.
//!
//! Most bytes are the inbox's bodies; most rows are narrow ones of the application. Every id has its own random
//! letters, so that nothing compresses better here than in life.

use sqlx::{AssertSqlSafe, PgPool};

use crate::Result;
use crate::mix::Mix;

/// Sales of one transaction while filling.
const SALES_PER_BATCH: i64 = 5_000;

/// Fills until the database has `megabytes` MB (10^6 bytes, as `pg_database_size` counts), and analyzes it.
pub async fn fill(pool: &PgPool, mix: &Mix, megabytes: u64) -> Result<()> {
    let application = "create table public.activity (
        id bigint generated always as identity primary key, customer_id text not null, session uuid not null,
        at timestamptz not null, action text not null, amount numeric(12, 2), details jsonb
    )";
    sqlx::raw_sql(application).execute(pool).await?;
    let batch = batch_sql(mix);
    let mut first = 0_i64;
    while size(pool).await? < megabytes * 1_000_000 {
        let statements = batch
            .replace(":first", &first.to_string())
            .replace(":last", &(first + SALES_PER_BATCH - 1).to_string());
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(pool).await?;
        first += SALES_PER_BATCH;
    }
    sqlx::raw_sql("vacuum analyze").execute(pool).await?;
    sqlx::raw_sql("checkpoint").execute(pool).await?;
    Ok(())
}

/// `pg_database_size`, in bytes.
pub async fn size(pool: &PgPool) -> Result<u64> {
    let bytes: i64 =
        sqlx::query_scalar("select pg_database_size(current_database())").fetch_one(pool).await?;
    Ok(u64::try_from(bytes)?)
}

/// Statements that add the sales `:first` to `:last`.
fn batch_sql(mix: &Mix) -> String {
    let mut sql = include_str!("payments_database.sql").to_owned();
    for (number, (kind, body, ids)) in mix.templates().into_iter().enumerate() {
        // Each id of the template becomes one of the sale's own: its prefix, the sale's number, and letters.
        let body = ids.iter().enumerate().fold(quoted(&body), |body, (place, id)| {
            let prefix = id.split_once('_').map_or("", |(prefix, _)| prefix);
            format!("replace({body}, '{id}', '{prefix}_1' || lpad(to_hex(sale), 8, '0') || substr(md5(sale || '{place}'), 1, 15))")
        });
        sql += &format!(
            "insert into recoup.webhook_events
                (id, type, api_version, livemode, created, payload, source, status, received_at, processed_at)
            select
                'evt_1' || lpad(to_hex(sale), 8, '0') || '{number}' || substr(md5(sale::text), 1, 14), '{kind}',
                '2026-09-30.endive', false, at, {body}, 'webhook', 'processed', at, at
            from (
                select sale, timestamptz '2020-01-01 00:00+00' + sale * interval '17 seconds' as at
                from generate_series(:first, :last) as sale
            ) as sales;\n"
        );
    }
    sql
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
