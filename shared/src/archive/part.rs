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
use super::stop::Stop;
use super::store::{CompositeSha256, ObjectStore, OpenUploads, Uploaded, upload_stream};

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
    /// How hard they are compressed.
    pub zstd_level: i32,
    /// To whom they are encrypted.
    pub encryption: Encryption,
    /// Uploads that are not complete.
    pub uploads: OpenUploads,
    /// How far it has come.
    pub progress: Arc<Progress>,
    /// Whether it is to end.
    pub stop: Stop,
}

/// Reads part `number` of `table` from a session at the backup's snapshot and stores it.
///
/// # Errors
/// Of the stage that failed first, or [`ArchiveError::Interrupted`] where it was asked to stop; then `connection` must not
/// be used again. What was under way at the store has ended.
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
        zstd_level: destination.zstd_level,
        encryption: &destination.encryption,
        stop: &destination.stop,
    };
    let told = |rows, bytes| destination.progress.read(rows, bytes);
    let stored = sink.store_rows(connection, &whole_key, rows, told).await?;
    destination.progress.part_done(table.part_bytes());
    Ok(stored.entry(key))
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
    /// How hard they are compressed.
    pub zstd_level: i32,
    /// To whom they are encrypted.
    pub encryption: &'s Encryption,
    /// Whether the work is to end.
    pub stop: &'s Stop,
}

/// Rows that stand in the store.
pub struct Stored {
    /// What was made of them.
    pub encoded: Encoded,
    /// What the store keeps of the object, where it went up in pieces.
    pub composite_sha256: Option<CompositeSha256>,
}

impl<S: ObjectStore> Sink<'_, S> {
    /// Reads rows and stores them as `key`; `progress` is told of each batch, its rows and bytes.
    ///
    /// # Errors
    /// Of the stage that failed first, or [`ArchiveError::Interrupted`] where it was asked to stop; then `connection` must
    /// not be used again. What was under way at the store has ended.
    pub async fn store_rows(
        &self,
        connection: &mut PgConnection,
        key: &str,
        rows: RowsToStore<'_>,
        progress: impl Fn(u64, u64),
    ) -> Result<Stored, ArchiveError> {
        let (batches_in, batches_out) = mpsc::channel(WAITING);
        let (stored_in, stored_out) = mpsc::channel(WAITING);
        let RowsToStore { name, sql, columns, encoder } = rows;
        let (zstd_level, encryption) = (self.zstd_level, self.encryption.clone());
        let encoding = tokio::task::spawn_blocking(move || {
            encode_rows(batches_out, stored_in, columns, encoder, zstd_level, &encryption)
        });
        let interrupted = || ArchiveError::Interrupted { operation: format!("store {name} as {key}") };
        let reading = async {
            tokio::select! {
                read = read_rows(connection, name, sql, batches_in, progress) => read,
                () = self.stop.asked() => Err(interrupted()),
            }
        };
        let (read, encoded, uploaded) =
            tokio::join!(reading, encoding, upload_stream(self.store, self.uploads, key, stored_out));

        // A stage that ends early makes its neighbours end too: the one with a reason of its own began it.
        read?;
        let uploaded = uploaded?;
        let encoded = encoded.map_err(|_| interrupted())??;
        let composite_sha256 = match uploaded {
            Uploaded::Whole => None,
            Uploaded::InPieces(composite) => Some(composite),
            Uploaded::CutOff => return Err(interrupted()),
        };
        Ok(Stored { encoded, composite_sha256 })
    }
}

impl Stored {
    /// What a manifest says of the object.
    pub fn entry(self, key: String) -> PartEntry {
        let Self { encoded, composite_sha256 } = self;
        PartEntry {
            key,
            rows: encoded.digest.rows,
            digest: encoded.digest.sum,
            bytes_raw: encoded.bytes_raw,
            bytes_stored: encoded.bytes_stored,
            sha256: hex::encode(encoded.sha256),
            composite_sha256,
        }
    }
}
