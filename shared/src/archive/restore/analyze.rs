//! Statistics for the planner, of several tables at a time. Each table has its mark, in one query with its ANALYZE: an index on
//! an expression may make that longer than an invocation.

use sqlx::postgres::PgConnectOptions;
use tokio::task::JoinSet;

use super::definitions::connect;
use super::ledger::{Ledger, Step, mark};
use crate::archive::error::ArchiveError;
use crate::archive::queue::Queue;
use crate::archive::session::run;

const OPERATION: &str = "analyze the restored database";

/// Analyzes every table of the database of `options` that is not marked yet, on `connections` connections, and marks it.
///
/// # Errors
/// `DatabaseUnavailable`, [`ArchiveError::Database`].
pub(super) async fn analyze(
    options: &PgConnectOptions,
    ledger: &Ledger,
    connections: usize,
) -> Result<(), ArchiveError> {
    if ledger.has(Step::Analyzed, "") {
        return Ok(());
    }
    let mut connection = connect(options).await?;
    let tables: Vec<String> = sqlx::query_scalar(include_str!("sql/analyzed.sql"))
        .persistent(false)
        .fetch_all(&mut connection)
        .await
        .map_err(|error| ArchiveError::database(OPERATION, &error))?;
    let waiting: Queue<String> =
        tables.into_iter().filter(|table| !ledger.has(Step::Analyzed, table)).collect();
    let mut running: JoinSet<Result<(), ArchiveError>> = JoinSet::new();
    for _ in 0..connections.min(waiting.len()) {
        let (waiting, options) = (waiting.clone(), options.clone());
        running.spawn(async move {
            let mut connection = connect(&options).await?;
            while let Some(table) = waiting.take() {
                let sql = format!("ANALYZE {table}; {}", mark(Step::Analyzed, &table));
                run(&mut connection, OPERATION, &sql).await?;
            }
            Ok(())
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.map_err(|_| ArchiveError::Interrupted { operation: OPERATION.to_owned() }).flatten()?;
    }
    run(&mut connection, OPERATION, &mark(Step::Analyzed, "")).await
}
