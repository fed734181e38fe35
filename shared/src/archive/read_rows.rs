//! Rows of a table out of Postgres, in batches.

use futures::TryStreamExt;
use sqlx::PgConnection;
use tokio::sync::mpsc;

use super::encode::Flow;
use super::error::ArchiveError;

/// The driver gives one chunk for each row: they are handed on in batches of about this size.
const BATCH_BYTES: usize = 256 * 1024;

/// SQLSTATE (PostgreSQL documentation, appendix A).
const UNDEFINED_COLUMN: &str = "42703";

/// Runs a `COPY … TO STDOUT` and hands its rows to `batches`; `End` only after Postgres' own. `progress` is told of
/// each batch: its rows and bytes.
///
/// Returns early where nobody takes the rows any more. The connection is of no use after that, nor after
/// an error, and must be dropped: what Postgres still sends would be taken for the next answer.
///
/// # Errors
/// [`ArchiveError::Database`].
pub async fn read_rows(
    connection: &mut PgConnection,
    table: &str,
    sql: &str,
    batches: mpsc::Sender<Flow<Vec<u8>>>,
    progress: impl Fn(u64, u64),
) -> Result<(), ArchiveError> {
    let failed = |error: sqlx::Error| match ArchiveError::database(format!("read table {table}"), &error) {
        // The snapshot shows a column that was gone when the table was locked.
        ArchiveError::Database { reason, .. } if reason.is(UNDEFINED_COLUMN) => {
            ArchiveError::TableChanged { table: table.to_owned() }
        }
        error => error,
    };
    let mut rows = connection.copy_out_raw(sql).await.map_err(failed)?;
    let mut batch = Vec::with_capacity(BATCH_BYTES);
    let mut rows_in_batch = 0;
    while let Some(row) = rows.try_next().await.map_err(failed)? {
        if !batch.is_empty() && batch.len() + row.len() > BATCH_BYTES {
            let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH_BYTES));
            progress(std::mem::take(&mut rows_in_batch), full.len() as u64);
            if batches.send(Flow::Chunk(full)).await.is_err() {
                return Ok(());
            }
        }
        batch.extend_from_slice(&row);
        rows_in_batch += 1;
    }
    progress(rows_in_batch, batch.len() as u64);
    if !batch.is_empty() && batches.send(Flow::Chunk(batch)).await.is_err() {
        return Ok(());
    }
    // Where this cannot be sent the reader has failed, and tells why itself.
    let _ = batches.send(Flow::End).await;
    Ok(())
}
