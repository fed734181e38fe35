//! The row in `recoup.backups`: a cache of what the bucket knows, for people who query.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use time::OffsetDateTime;

use crate::db;

use super::backup_progress::Reached;
use super::error::DatabaseReason;
use super::names::BackupId;

/// A table that somebody holds must not hold up the end of a run.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is recorded about one run.
pub struct BackupRecord<'a> {
    /// Its name.
    pub backup_id: &'a BackupId,
    /// What the operator called it.
    pub label: Option<&'a str>,
    /// The window of a partial one, from and to.
    pub window: Option<(OffsetDateTime, OffsetDateTime)>,
    /// Rows and bytes of all objects, where it was completed.
    pub counts: Option<(u64, u64)>,
    /// How far it came.
    pub reached: Reached,
    /// From when on it may be pruned.
    pub expires_at: OffsetDateTime,
    /// Why it failed.
    pub error: Option<&'a str>,
}

/// Records a run on a connection of its own: the one that reads is read-only.
///
/// # Errors
/// A sentence for the reply's warnings: a backup is whole without its row.
pub async fn record(options: &PgConnectOptions, entry: &BackupRecord<'_>) -> Result<(), String> {
    let failed = |reason: String| {
        format!("the run is not recorded in recoup.backups, which changes nothing about the backup: {reason}")
    };
    let written = tokio::time::timeout(PATIENCE, write(options, entry)).await;
    written.unwrap_or_else(|_| Err("no answer within three seconds".to_owned())).map_err(failed)
}

async fn write(options: &PgConnectOptions, entry: &BackupRecord<'_>) -> Result<(), String> {
    let mut connection = db::connect(options).await.map_err(|failure| failure.to_string())?;
    let count = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    sqlx::query(
        "INSERT INTO recoup.backups (
            backup_id, backup_type, status, label, record_count, file_size_bytes,
            created_at, completed_at, expires_at, error, window_from, window_to,
            heartbeat_at, progress_rows, progress_bytes, progress_percent
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp(), $8, $9, $10, $11, clock_timestamp(), $12, $13, $14)
        ON CONFLICT (backup_id) DO UPDATE SET
            status = excluded.status,
            record_count = excluded.record_count,
            file_size_bytes = excluded.file_size_bytes,
            completed_at = excluded.completed_at,
            error = excluded.error,
            heartbeat_at = excluded.heartbeat_at,
            progress_rows = excluded.progress_rows,
            progress_bytes = excluded.progress_bytes,
            progress_percent = excluded.progress_percent",
    )
    .bind(entry.backup_id.as_str())
    .bind(entry.backup_id.backup_type())
    .bind(if entry.error.is_none() { "completed" } else { "failed" })
    .bind(entry.label)
    .bind(entry.counts.map(|(rows, _)| count(rows)))
    .bind(entry.counts.map(|(_, bytes)| count(bytes)))
    .bind(entry.backup_id.created_at())
    .bind(entry.expires_at)
    .bind(entry.error)
    .bind(entry.window.map(|(from, _)| from))
    .bind(entry.window.map(|(_, to)| to))
    .bind(count(entry.reached.rows))
    .bind(count(entry.reached.bytes))
    .bind(if entry.error.is_none() { 100.0 } else { entry.reached.percent })
    .persistent(false)
    .execute(&mut connection)
    .await
    .map_err(|error| DatabaseReason::of(&error).to_string())?;
    Ok(())
}
