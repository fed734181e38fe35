//! Rows of both databases, table by table: what a plan shows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::archive::ArchiveError;
use crate::archive::selection::TableName;
use crate::archive::session::{open_reading, run};
use crate::comparison::tables::read_tables;

/// Counting is a service: where it takes longer, the plan goes without.
const LIMIT: Duration = Duration::from_secs(30);

/// Rows of a table on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableCount {
    /// As SQL writes it.
    pub table: String,
    /// Rows in production; none where it has no such table.
    pub production_rows: Option<i64>,
    /// Rows in the copy; none where it has no such table.
    pub copy_rows: Option<i64>,
}

/// Counts every table of both. None where one of them cannot be read, or not in time.
pub async fn count_both(production: &PgConnectOptions, copy: &PgConnectOptions) -> Option<Vec<TableCount>> {
    let both = async { tokio::join!(count(production), count(copy)) };
    let (there, here) = tokio::time::timeout(LIMIT, both).await.ok()?;
    let here = here.ok()?;
    // Where production is gone, the copy's rows are all there is to say.
    let there = there.unwrap_or_default();
    let names: BTreeSet<&TableName> = there.keys().chain(here.keys()).collect();
    let count = |name: &TableName| TableCount {
        table: name.to_string(),
        production_rows: there.get(name).copied(),
        copy_rows: here.get(name).copied(),
    };
    Some(names.into_iter().map(count).collect())
}

async fn count(options: &PgConnectOptions) -> Result<BTreeMap<TableName, i64>, ArchiveError> {
    let mut connection: PgConnection = open_reading(options, None).await?;
    let limit = format!("SET LOCAL statement_timeout = {}", LIMIT.as_millis());
    run(&mut connection, "limit the time of counting", &limit).await?;
    let tables = read_tables(&mut connection).await?;
    let mut counts = BTreeMap::new();
    for (name, table) in tables {
        let sql = format!("SELECT pg_catalog.count(*) FROM {}", table.only());
        let rows = sqlx::query_scalar(AssertSqlSafe(sql))
            .persistent(false)
            .fetch_one(&mut connection)
            .await
            .map_err(|error| ArchiveError::database(format!("count table {name}"), &error))?;
        counts.insert(name, rows);
    }
    // It is closed either way.
    let _ = connection.close().await;
    Ok(counts)
}
