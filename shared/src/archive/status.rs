//! How a backup stands: what the bucket has, what the run last said, and whether it still works.
//!
//! The bucket decides what a backup is. Of one that is not whole there, the run's advisory lock tells whether somebody
//! is at work: it ends with the session that reads, so that a run that died does not look like one that goes on.

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use time::OffsetDateTime;

use super::error::ArchiveError;
use super::inventory::{Folder, list_folders};
use super::names::BackupId;
use super::scheduled;
use super::store::ObjectStore;
use super::summary::ListedBackup;
use crate::db;

/// How a backup stands.
pub struct Status {
    /// Its name.
    pub backup_id: BackupId,
    /// The stage that it is in.
    pub stage: Stage,
    /// The backup as the bucket shows it, where it is whole.
    pub backup: Option<ListedBackup>,
    /// What the run last said.
    pub told: Option<Told>,
}

/// The stage that a backup is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The bucket has it, whole.
    Completed,
    /// Somebody is at work.
    Running,
    /// It ended with an error.
    Failed,
    /// It ended without a word: killed, or cut off.
    Died,
    /// Prune removed it.
    Pruned,
    /// The bucket has it no more, and prune did not remove it.
    Gone,
}

/// A row of `recoup.backups`, as far as a run is concerned.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Told {
    backup_id: String,
    status: String,
    /// When the run last said that it goes on.
    pub heartbeat_at: Option<OffsetDateTime>,
    /// Seconds since then, by the database's clock.
    pub heartbeat_age_seconds: Option<f64>,
    /// Seconds from the beginning until then.
    pub running_seconds: Option<f64>,
    /// Rows that were read.
    pub progress_rows: Option<i64>,
    /// Bytes of rows that were read.
    pub progress_bytes: Option<i64>,
    /// The share of the tables' bytes that is done, 0 to 100.
    pub progress_percent: Option<f64>,
    /// Why it failed.
    pub error: Option<String>,
}

impl Told {
    /// Bytes in a second, since the beginning.
    pub fn bytes_per_second(&self) -> Option<f64> {
        #[allow(clippy::cast_precision_loss, reason = "an estimate")]
        let bytes = self.progress_bytes? as f64;
        let seconds = self.running_seconds.filter(|seconds| *seconds > 0.0)?;
        Some((bytes / seconds).round())
    }

    /// Seconds that are left, at the pace so far.
    pub fn seconds_left(&self) -> Option<f64> {
        let percent = self.progress_percent.filter(|percent| *percent > 0.0)?;
        Some((self.running_seconds? * (100.0 - percent) / percent).ceil())
    }
}

/// Tells how backup `wanted` stands: an id, or `latest` for the one that was begun last.
///
/// # Errors
/// [`ArchiveError::BackupNotFound`]; [`ArchiveError::Store`]; of a backup that the bucket has not whole, the database's
/// error where it cannot be asked.
pub async fn status(
    store: &impl ObjectStore,
    options: &PgConnectOptions,
    wanted: &str,
) -> Result<Status, ArchiveError> {
    let latest = wanted == "latest";
    let named: Option<BackupId> =
        if latest { None } else { Some(wanted.parse().map_err(ArchiveError::InvalidRequest)?) };
    let mut folders = list_folders(store, named.as_ref().map_or("", BackupId::as_str)).await?;
    let folder = folders.pop();
    let asked = ask(options, named.as_ref(), folder.as_ref()).await;
    let asked = match (asked, &folder) {
        (Ok(asked), _) => asked,
        // The bucket alone is enough for what is whole.
        (Err(_), Some(Folder { sealed: true, .. })) => Asked { told: None, is_claimed: false },
        (Err(error), _) => return Err(error),
    };
    let Asked { told, is_claimed } = asked;
    let told_id = told.as_ref().and_then(|told| told.backup_id.parse::<BackupId>().ok());
    let Some(backup_id) = folder.as_ref().map(|folder| folder.id.clone()).max(told_id) else {
        return Err(ArchiveError::BackupNotFound {
            backup_id: wanted.to_owned(),
            found: "neither the bucket nor recoup.backups knows it".to_owned(),
        });
    };
    let backup = folder.filter(|folder| folder.id == backup_id).and_then(|folder| folder.listed());
    let told = told.filter(|told| told.backup_id == backup_id.as_str());
    let stage = match (&backup, told.as_ref().map(|told| told.status.as_str())) {
        (Some(_), _) => Stage::Completed,
        (None, Some("failed")) => Stage::Failed,
        (None, Some("pruned")) => Stage::Pruned,
        (None, Some("completed" | "gone")) => Stage::Gone,
        (None, _) if is_claimed => Stage::Running,
        (None, _) => Stage::Died,
    };
    Ok(Status { backup_id, stage, backup, told })
}

struct Asked {
    told: Option<Told>,
    is_claimed: bool,
}

/// What the database knows of backup `named`, or of the one that was begun last.
async fn ask(
    options: &PgConnectOptions,
    named: Option<&BackupId>,
    folder: Option<&Folder>,
) -> Result<Asked, ArchiveError> {
    let mut connection = db::connect(options).await?;
    let told = told(&mut connection, named).await?;
    let told_id = told.as_ref().and_then(|told| told.backup_id.parse::<BackupId>().ok());
    let id = folder.map(|folder| folder.id.clone()).max(told_id);
    let is_claimed = match id {
        Some(id) => scheduled::is_claimed(&mut connection, id.digits()).await?,
        None => false,
    };
    Ok(Asked { told, is_claimed })
}

async fn told(connection: &mut PgConnection, named: Option<&BackupId>) -> Result<Option<Told>, ArchiveError> {
    let failed = |error: sqlx::Error| ArchiveError::database("read what the run told", &error);
    let mut transaction = connection.begin().await.map_err(failed)?;
    sqlx::raw_sql("SET LOCAL lock_timeout = '5s'").execute(&mut *transaction).await.map_err(failed)?;
    let told = sqlx::query_as(
        "SELECT
            backup_id, status, progress_rows, progress_bytes, progress_percent, error,
            CASE WHEN sound THEN heartbeat_at END AS heartbeat_at,
            CASE WHEN sound THEN extract(epoch FROM clock_timestamp() - heartbeat_at)::float8 END AS heartbeat_age_seconds,
            CASE WHEN sound THEN extract(epoch FROM heartbeat_at - created_at)::float8 END AS running_seconds
        FROM recoup.backups, LATERAL (VALUES (isfinite(heartbeat_at) AND isfinite(created_at))) AS v (sound)
        WHERE backup_id ~ '^[0-9]{8}T[0-9]{6}Z-[a-z]+-[0-9a-f]{8}$' AND coalesce(backup_id = $1, true)
        ORDER BY backup_id COLLATE \"C\" DESC
        LIMIT 1",
    )
    .bind(named.map(BackupId::as_str))
    .persistent(false)
    .fetch_optional(&mut *transaction)
    .await;
    match told {
        Ok(told) => Ok(told),
        // A cache that is broken tells nothing, and its absence changes nothing.
        Err(error)
            if error
                .as_database_error()
                .is_some_and(|error| error.code().is_some_and(|code| code.starts_with("42"))) =>
        {
            Ok(None)
        }
        Err(error) => Err(failed(error)),
    }
}
