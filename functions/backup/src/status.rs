//! The action `status`: how a backup stands, while it runs and after.

use recoup::archive::status::{Stage, Status, status as ask};
use recoup::archive::store::S3Store;
use recoup::failure::Failure;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnectOptions;
use time::OffsetDateTime;

/// A question for a backup.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusRequest {
    backup_id: String,
}

/// How it stands.
#[derive(Debug, Serialize)]
pub struct StatusReply {
    action: &'static str,
    backup_id: String,
    backup_type: String,
    status: Stage,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
    record_count: Option<u64>,
    file_size_bytes: Option<u64>,
    /// What the run last told; nothing of it is known where `recoup.backups` has no row.
    progress: Option<ProgressReply>,
    error: Option<String>,
}

/// How far a run had come when it last told.
#[derive(Debug, Serialize)]
struct ProgressReply {
    percent: Option<f64>,
    rows: Option<i64>,
    bytes: Option<i64>,
    bytes_per_second: Option<f64>,
    seconds_left: Option<f64>,
    #[serde(with = "time::serde::rfc3339::option")]
    heartbeat_at: Option<OffsetDateTime>,
    heartbeat_age_seconds: Option<f64>,
}

/// Carries it out.
///
/// # Errors
/// `BackupNotFound`, and what the store and the database answer.
pub(crate) async fn status(
    store: &S3Store,
    database: &PgConnectOptions,
    request: StatusRequest,
) -> Result<StatusReply, Failure> {
    let Status { backup_id, stage, backup, told } = ask(store, database, &request.backup_id).await?;
    let error = told.as_ref().and_then(|told| told.error.clone());
    let runs = stage == Stage::Running;
    let progress = told.map(|told| ProgressReply {
        percent: told.progress_percent,
        rows: told.progress_rows,
        bytes: told.progress_bytes,
        bytes_per_second: told.bytes_per_second(),
        seconds_left: if runs { told.seconds_left() } else { None },
        heartbeat_at: told.heartbeat_at,
        heartbeat_age_seconds: told.heartbeat_age_seconds,
    });
    Ok(StatusReply {
        action: "status",
        backup_type: backup_id.backup_type().to_owned(),
        status: stage,
        created_at: backup_id.created_at(),
        expires_at: backup.as_ref().and_then(|backup| backup.expires_at),
        record_count: backup.as_ref().and_then(|backup| backup.record_count),
        file_size_bytes: backup.as_ref().map(|backup| backup.file_size_bytes),
        backup_id: backup_id.to_string(),
        progress,
        error,
    })
}
