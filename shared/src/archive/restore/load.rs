//! The rows: every part through COPY into tables that have no index, no key and no trigger yet.
//!
//! One part is one transaction. It commits, with the mark that it is done, after the part's size, SHA-256, rows and
//! digest are proven: no row of a damaged object is ever visible, and none is loaded twice.

use std::sync::Arc;

use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::ledger::{Entry, Ledger, Step, mark_as};
use super::mask::{Masks, mask_rows};
use super::subset::Subset;
use crate::archive::digest::TableDigest;
use crate::archive::encode::Flow;
use crate::archive::encryption::Decryption;
use crate::archive::error::{ArchiveError, Damage};
use crate::archive::manifest::TableEntry;
use crate::archive::plan::column_list;
use crate::archive::progress::Progress;
use crate::archive::queue::Queue;
use crate::archive::reading::{Backup, ReadError};
use crate::archive::session::{begin_writing, quote_qualified, run};
use crate::archive::store::ObjectStore;
use crate::db;

/// Batches of rows that wait for Postgres.
const WAITING: usize = 2;

/// What is loaded, and how.
pub(super) struct Load<S> {
    /// The database.
    pub(super) options: PgConnectOptions,
    /// The backup.
    pub(super) backup: Arc<Backup<S>>,
    /// What opens it.
    pub(super) decryption: Decryption,
    /// How personal data is masked.
    pub(super) masks: Masks,
}

impl<S: ObjectStore> Load<S> {
    /// Loads every part that is wanted and not there yet.
    ///
    /// # Errors
    /// [`ArchiveError::BackupDamaged`] naming the object, [`ArchiveError::Database`], [`ArchiveError::Store`].
    pub(super) async fn load(
        self: &Arc<Self>,
        ledger: &Ledger,
        subset: Option<&Subset>,
        connections: usize,
        progress: &Arc<Progress>,
    ) -> Result<(), ArchiveError> {
        let mut left = Vec::new();
        for (table, entry) in self.backup.manifest.tables.iter().enumerate() {
            if subset.is_some_and(|subset| !subset.has(&entry.schema, &entry.name)) {
                continue;
            }
            for (part, object) in entry.parts.iter().enumerate() {
                if ledger.has(Step::Part, &object.key) {
                    progress.add(object.bytes_raw);
                } else {
                    left.push((table, part));
                }
            }
        }
        let queue: Queue<_> = left.into_iter().collect();
        let workers = connections.min(queue.len());
        let mut running: JoinSet<Result<(), ArchiveError>> = JoinSet::new();
        for _ in 0..workers {
            let (queue, load, progress) = (queue.clone(), Arc::clone(self), Arc::clone(progress));
            running.spawn(async move {
                let mut connection = db::connect(&load.options).await?;
                while let Some((table, part)) = queue.take() {
                    load.part(&mut connection, table, part).await?;
                    progress.add(load.backup.manifest.tables[table].parts[part].bytes_raw);
                }
                Ok(())
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

    async fn part(
        &self,
        connection: &mut PgConnection,
        table: usize,
        part: usize,
    ) -> Result<(), ArchiveError> {
        let backup = &*self.backup;
        let table = &backup.manifest.tables[table];
        let part = &table.parts[part];
        let operation = format!("load table {} from {}", table.qualified_name(), part.key);
        let (rows_in, rows_out) = mpsc::channel(WAITING);
        let reading = backup.read_part(table, part, &self.decryption, Some(rows_in));
        let (read, loaded) = match self.masks.of(table) {
            None => {
                let entry = std::future::ready(Some(Entry::default()));
                tokio::join!(reading, write_rows(connection, table, &part.key, &operation, rows_out, entry))
            }
            Some(masks) => {
                let (masked_in, masked_out) = mpsc::channel(WAITING);
                let masking = tokio::task::spawn_blocking(move || mask_rows(&masks, rows_out, &masked_in));
                // Which rows these became is known when the last has been masked, and goes into their transaction.
                let entry = async {
                    let digest: Option<TableDigest> = masking.await.ok().flatten();
                    digest.map(|digest| Entry { note: None, digest: Some(digest) })
                };
                tokio::join!(reading, write_rows(connection, table, &part.key, &operation, masked_out, entry))
            }
        };
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
}

/// Feeds rows to a COPY and commits them with their mark after `Flow::End`. `None` where the rows were cut off: then
/// nothing is committed, and the connection is closed by whoever owns it.
async fn write_rows(
    connection: &mut PgConnection,
    table: &TableEntry,
    key: &str,
    operation: &str,
    mut rows: mpsc::Receiver<Flow<Vec<u8>>>,
    entry: impl Future<Output = Option<Entry>>,
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
    let Some(entry) = entry.await else { return Ok(None) };
    run(connection, operation, &format!("{} COMMIT", mark_as(Step::Part, key, &entry))).await?;
    Ok(Some(()))
}

fn copy_in_sql(table: &TableEntry) -> String {
    let name = quote_qualified(&table.schema, &table.name);
    if table.columns.is_empty() {
        return format!("COPY {name} FROM STDIN");
    }
    format!("COPY {name} ({}) FROM STDIN", column_list(&table.columns))
}
