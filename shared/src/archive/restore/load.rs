//! The rows: every part through COPY into tables that have no index, no key and no trigger yet.
//!
//! One part is one transaction. It commits after the part's size, SHA-256, rows and digest are proven, so
//! no row of a damaged object is ever visible.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::super::encode::Flow;
use super::super::encryption::Decryption;
use super::super::error::{ArchiveError, Damage};
use super::super::manifest::TableEntry;
use super::super::plan::column_list;
use super::super::progress::Progress;
use super::super::reading::{Backup, ReadError};
use super::super::session::{begin_writing, quote_qualified, run};
use super::super::store::ObjectStore;
use crate::db;

/// Batches of rows that wait for Postgres.
const WAITING: usize = 2;

/// Loads every part.
///
/// # Errors
/// [`ArchiveError::BackupDamaged`] naming the object, [`ArchiveError::Database`], [`ArchiveError::Store`].
pub(super) async fn load<S: ObjectStore>(
    options: &PgConnectOptions,
    backup: &Arc<Backup<S>>,
    decryption: &Decryption,
    connections: usize,
    progress: &Arc<Progress>,
) -> Result<(), ArchiveError> {
    let tables = &backup.manifest.tables;
    let queue: VecDeque<(usize, usize)> = tables
        .iter()
        .enumerate()
        .flat_map(|(table, entry)| (0..entry.parts.len()).map(move |part| (table, part)))
        .collect();
    let workers = connections.min(queue.len());
    let queue = Arc::new(Mutex::new(queue));
    let mut running: JoinSet<Result<(), ArchiveError>> = JoinSet::new();
    for _ in 0..workers {
        let (queue, backup, decryption) = (Arc::clone(&queue), Arc::clone(backup), decryption.clone());
        let (options, progress) = (options.clone(), Arc::clone(progress));
        running.spawn(async move {
            let mut connection = db::connect(&options).await?;
            loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let Some((table, part)) = next else { return Ok(()) };
                load_part(&mut connection, &backup, &decryption, table, part).await?;
                progress.add(backup.manifest.tables[table].parts[part].bytes_raw);
            }
        });
    }
    while let Some(ended) = running.join_next().await {
        let interrupted = |_| ArchiveError::Interrupted { operation: "load the tables".to_owned() };
        if let Err(error) = ended.map_err(interrupted).flatten() {
            running.shutdown().await;
            return Err(error);
        }
    }
    Ok(())
}

async fn load_part<S: ObjectStore>(
    connection: &mut PgConnection,
    backup: &Backup<S>,
    decryption: &Decryption,
    table: usize,
    part: usize,
) -> Result<(), ArchiveError> {
    let table = &backup.manifest.tables[table];
    let part = &table.parts[part];
    let operation = format!("load table {} from {}", table.qualified_name(), part.key);
    let (rows_in, rows_out) = mpsc::channel(WAITING);
    let (read, loaded) = tokio::join!(
        backup.read_part(table, part, decryption, Some(rows_in)),
        write_rows(connection, table, &operation, rows_out),
    );
    // Where the object is damaged the load was given up for that reason; where Postgres refused the rows,
    // reading was.
    match (read, loaded) {
        (Ok(()), Ok(Some(()))) => Ok(()),
        (Err(ReadError::Damaged(reason)), _) => Err(backup.damaged(vec![Damage::new(&part.key, reason)])),
        (_, Err(error)) => Err(error),
        (Err(ReadError::Store(error)), _) => Err(error.into()),
        (Err(ReadError::CutOff), _) | (Ok(()), Ok(None)) => Err(ArchiveError::Interrupted { operation }),
    }
}

/// Feeds rows to a COPY and commits after `Flow::End`. `None` where the rows were cut off: then nothing is
/// committed, and the connection is closed by whoever owns it.
async fn write_rows(
    connection: &mut PgConnection,
    table: &TableEntry,
    operation: &str,
    mut rows: mpsc::Receiver<Flow<Vec<u8>>>,
) -> Result<Option<()>, ArchiveError> {
    begin_writing(connection).await?;
    let refused = |error: sqlx::Error| ArchiveError::database(operation, &error);
    let mut copy = connection.copy_in_raw(&copy_in_sql(table)).await.map_err(refused)?;
    loop {
        match rows.recv().await {
            Some(Flow::Chunk(batch)) => {
                if let Err(lost) = copy.send(batch).await {
                    // Postgres tells why only when it is asked for the outcome.
                    return Err(refused(copy.finish().await.err().unwrap_or(lost)));
                }
            }
            Some(Flow::End) => break,
            None => {
                copy.abort("the rows were cut off").await.map_err(refused)?;
                return Ok(None);
            }
        }
    }
    copy.finish().await.map_err(refused)?;
    run(connection, operation, "COMMIT").await?;
    Ok(Some(()))
}

fn copy_in_sql(table: &TableEntry) -> String {
    let name = quote_qualified(&table.schema, &table.name);
    if table.columns.is_empty() {
        return format!("COPY {name} FROM STDIN");
    }
    format!("COPY {name} ({}) FROM STDIN", column_list(&table.columns))
}
