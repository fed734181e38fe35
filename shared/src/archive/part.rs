//! Step two of a backup, *write a part*: a range of a table's rows becomes one object.
//!
//! Three stages run at the same time, with a few batches between them: Postgres' rows (async), digest,
//! format, zstd and age (a blocking thread), S3 (async). What flows is bounded, so memory is that of a few
//! batches, one compressor and two pieces of an upload, whatever the size of the table.

use std::sync::Arc;

use sqlx::PgConnection;
use tokio::sync::mpsc;

use super::backup_progress::Progress;
use super::encode::{Encoded, encode_rows};
use super::encryption::Encryption;
use super::error::ArchiveError;
use super::format::{RowEncoder, TableFormat};
use super::manifest::PartEntry;
use super::names::BackupId;
use super::plan::TablePlan;
use super::read_rows::read_rows;
use super::store::{ObjectStore, OpenUploads, upload_stream};

/// Batches of rows, and chunks of stored bytes, that wait between two stages.
const WAITING: usize = 2;

/// Where the objects of one backup go.
pub struct Destination<S> {
    /// The bucket.
    pub store: Arc<S>,
    /// The backup, whose folder they are put in.
    pub backup_id: BackupId,
    /// How rows are stored.
    pub format: TableFormat,
    /// To whom they are encrypted.
    pub encryption: Encryption,
    /// Uploads that are not complete.
    pub uploads: OpenUploads,
    /// How far it has come.
    pub progress: Arc<Progress>,
}

/// Reads part `number` of `table` from a session at the backup's snapshot and stores it.
///
/// # Errors
/// Of the stage that failed first; then `connection` must not be used again.
pub async fn write_part<S: ObjectStore>(
    connection: &mut PgConnection,
    destination: &Arc<Destination<S>>,
    table: &TablePlan,
    number: usize,
) -> Result<PartEntry, ArchiveError> {
    let key = format!("{}{}", table.part_key(number, destination.format), destination.encryption.suffix());
    let whole_key = destination.backup_id.key(&key);
    let rows = RowsToStore {
        name: &table.qualified_name(),
        sql: &table.copy_out_sql(table.parts[number]),
        columns: table.columns.len(),
        encoder: destination.format.encoder(&table.columns),
    };
    let sink = Sink {
        store: &*destination.store,
        uploads: &destination.uploads,
        encryption: &destination.encryption,
    };
    let told = |rows, bytes| destination.progress.read(rows, bytes);
    let encoded = sink.store_rows(connection, &whole_key, rows, told).await?;
    destination.progress.part_done(table.part_bytes());
    Ok(entry(key, &encoded))
}

/// Rows that are to become one object.
pub struct RowsToStore<'r> {
    /// What they are, for messages.
    pub name: &'r str,
    /// The `COPY … TO STDOUT` that reads them.
    pub sql: &'r str,
    /// How many columns each has.
    pub columns: usize,
    /// How they are written.
    pub encoder: RowEncoder,
}

/// Where objects with rows go.
pub struct Sink<'s, S> {
    /// The bucket.
    pub store: &'s S,
    /// Uploads that are not complete.
    pub uploads: &'s OpenUploads,
    /// To whom they are encrypted.
    pub encryption: &'s Encryption,
}

impl<S: ObjectStore> Sink<'_, S> {
    /// Reads rows and stores them as `key`; `progress` is told of each batch, its rows and bytes.
    ///
    /// # Errors
    /// Of the stage that failed first; then `connection` must not be used again.
    pub async fn store_rows(
        &self,
        connection: &mut PgConnection,
        key: &str,
        rows: RowsToStore<'_>,
        progress: impl Fn(u64, u64),
    ) -> Result<Encoded, ArchiveError> {
        let (batches_in, batches_out) = mpsc::channel(WAITING);
        let (stored_in, stored_out) = mpsc::channel(WAITING);
        let RowsToStore { name, sql, columns, encoder } = rows;
        let encryption = self.encryption.clone();
        let encoding = tokio::task::spawn_blocking(move || {
            encode_rows(batches_out, stored_in, columns, encoder, &encryption)
        });
        let (read, encoded, uploaded) = tokio::join!(
            read_rows(connection, name, sql, batches_in, progress),
            encoding,
            upload_stream(self.store, self.uploads, key, stored_out),
        );

        // A stage that ends early makes its neighbours end too: the one with a reason of its own began it.
        let interrupted = || ArchiveError::Interrupted { operation: format!("store {name} as {key}") };
        read?;
        let stored = uploaded?;
        let encoded = encoded.map_err(|_| interrupted())??;
        stored.ok_or_else(interrupted)?;
        Ok(encoded)
    }
}

/// What a manifest says of an object with rows.
pub fn entry(key: String, encoded: &Encoded) -> PartEntry {
    PartEntry {
        key,
        rows: encoded.digest.rows,
        digest: encoded.digest.sum,
        bytes_raw: encoded.bytes_raw,
        bytes_stored: encoded.bytes_stored,
        sha256: hex::encode(encoded.sha256),
    }
}
