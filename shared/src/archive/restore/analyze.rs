//! Statistics for the planner, of several tables at a time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::postgres::PgConnectOptions;
use tokio::task::JoinSet;

use super::definitions::connect;
use super::ledger::{Ledger, Step, mark};
use crate::archive::error::ArchiveError;
use crate::archive::session::run;

const OPERATION: &str = "analyze the restored database";

/// Analyzes every table of the database of `options`, on `connections` connections, and marks it.
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
    let workers = connections.min(tables.len());
    let queue = Arc::new(Mutex::new(VecDeque::from(tables)));
    let mut running: JoinSet<Result<(), ArchiveError>> = JoinSet::new();
    for _ in 0..workers {
        let (queue, options) = (Arc::clone(&queue), options.clone());
        running.spawn(async move {
            let mut connection = connect(&options).await?;
            loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let Some(table) = next else { return Ok(()) };
                run(&mut connection, OPERATION, &format!("ANALYZE {table}")).await?;
            }
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.map_err(|_| ArchiveError::Interrupted { operation: OPERATION.to_owned() }).flatten()?;
    }
    run(&mut connection, OPERATION, &mark(Step::Analyzed, "")).await
}
