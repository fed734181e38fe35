//! Rows out of the copy and into production's transaction: Postgres' databases do not see each other, so they pass
//! through here, a batch at a time.

use futures::TryStreamExt;
use sqlx::PgConnection;

use crate::promote::PromoteError;

/// The driver gives one chunk for each row: they are handed on in batches of about this size.
const BATCH_BYTES: usize = 256 * 1024;

/// Runs a `COPY … TO STDOUT` on one connection and a `COPY … FROM STDIN` on the other.
///
/// # Errors
/// [`PromoteError::Archive`]; both connections are of no use then.
pub async fn transfer(
    from: &mut PgConnection,
    copy_out: &str,
    to: &mut PgConnection,
    copy_in: &str,
    table: &str,
) -> Result<(), PromoteError> {
    let unread =
        |error: sqlx::Error| PromoteError::database(format!("read the copy's rows of {table}"), &error);
    let unwritten =
        |error: sqlx::Error| PromoteError::database(format!("bring the copy's rows of {table} over"), &error);
    let mut rows = from.copy_out_raw(copy_out).await.map_err(unread)?;
    let mut sink = to.copy_in_raw(copy_in).await.map_err(unwritten)?;
    let mut batch = Vec::with_capacity(BATCH_BYTES);
    loop {
        let row = rows.try_next().await.map_err(unread)?;
        let at_the_end = row.is_none();
        batch.extend_from_slice(row.as_deref().unwrap_or_default());
        if batch.len() >= BATCH_BYTES || (at_the_end && !batch.is_empty()) {
            if let Err(lost) = sink.send(batch.as_slice()).await {
                // Postgres tells why only when it is asked for the outcome.
                return Err(unwritten(sink.finish().await.err().unwrap_or(lost)));
            }
            batch.clear();
        }
        if at_the_end {
            break;
        }
    }
    sink.finish().await.map_err(unwritten)?;
    Ok(())
}
