//! What was exported leaves the database when the keep window has passed.

use std::time::{Duration, SystemTime};

use sqlx::PgConnection;

use super::names::ChainId;
use crate::archive::ArchiveError;

/// Rows that one statement removes: a transaction of well under a second.
const BATCH: i64 = 10_000;

/// Nothing new is begun when less than this is left.
const RESERVE: Duration = Duration::from_secs(5);

/// Rows of `recoup.change_segments` outlive the changes by this time: they say how far an export has to look back for
/// the changes of a transaction that was open for days.
const SEGMENTS_KEPT_DAYS: i32 = 7;

/// Removes changes that a sealed segment of `chain` holds and that are older than `keep`. Gives how many went.
///
/// # Errors
/// [`ArchiveError::Database`]; what went already is gone.
pub(super) async fn remove_exported(
    connection: &mut PgConnection,
    chain: &ChainId,
    keep: time::Duration,
    until: SystemTime,
) -> Result<u64, ArchiveError> {
    let failed = |error: sqlx::Error| ArchiveError::database("remove exported changes", &error);
    let keep_seconds = keep.as_seconds_f64();
    let mut removed = 0;
    while SystemTime::now() + RESERVE < until {
        let batch = sqlx::query(include_str!("sql/remove_exported.sql"))
            .bind(chain.to_string())
            .bind(keep_seconds)
            .bind(BATCH)
            .persistent(false)
            .execute(&mut *connection)
            .await
            .map_err(failed)?
            .rows_affected();
        removed += batch;
        if batch < BATCH.cast_unsigned() {
            break;
        }
    }
    sqlx::query(
        "DELETE FROM recoup.change_segments
        WHERE definitions IS NULL AND taken_at < now() - make_interval(secs => $1, days => $2)",
    )
    .bind(keep_seconds)
    .bind(SEGMENTS_KEPT_DAYS)
    .persistent(false)
    .execute(connection)
    .await
    .map_err(failed)?;
    Ok(removed)
}
