//! `"dry_run": true`: what a restore would do, how long it should take, and what would stop it.

use recoup::archive::ArchiveError;
use recoup::archive::reading::Backup;
use recoup::archive::restore::{Preview, Restoring};
use recoup::archive::store::S3Store;
use recoup::db;
use recoup::failure::Failure;
use recoup::secrets::SecretStore;
use serde::Serialize;
use sqlx::Row;
use time::OffsetDateTime;

use crate::Restore;
use crate::asked::Asked;

/// What the function answers about a restore that was not made.
#[derive(Debug, Serialize)]
pub struct PreviewReply {
    dry_run: bool,
    /// `possible`, or `not possible`: then `problems` says why.
    status: &'static str,
    backup_id: String,
    backup_type: String,
    target_database: String,
    target_secret: Option<String>,
    /// The instant; null for a backup as it is.
    #[serde(with = "time::serde::rfc3339::option")]
    target_time: Option<OffsetDateTime>,
    /// Whether the backup holds the rows of a window only.
    partial: bool,
    /// Absent where the backup itself is not fit: then there is nothing to say about rows.
    #[serde(flatten)]
    preview: Option<Preview>,
    /// Why the backup is not fit to be restored; null where it is.
    unfit: Option<String>,
    seconds_expected: Option<f64>,
    /// Where the expectation comes from.
    seconds_expected_from: String,
}

/// The last drill that went well.
struct Drilled {
    backup_id: String,
    seconds: f64,
    bytes_raw: f64,
}

impl<S: SecretStore + Sync> Restore<S> {
    /// Says what a restore would do.
    pub(crate) async fn preview(
        &self,
        opened: Result<Restoring<S3Store>, ArchiveError>,
        backup: &Backup<S3Store>,
        database: &str,
        asked: &Asked,
    ) -> Result<PreviewReply, Failure> {
        let (preview, unfit) = match opened {
            Ok(restoring) => (Some(restoring.preview(database).await), None),
            // What is wrong with the request is an error of the request.
            Err(error @ (ArchiveError::InvalidRequest(_) | ArchiveError::UnknownTable { .. })) => {
                return Err(error.into());
            }
            // So is an instant that no changes lead to.
            Err(ArchiveError::Other(failure)) if failure.error_type().starts_with("Instant") => {
                return Err(failure);
            }
            Err(error) => (None, Some(error.to_string())),
        };
        let drilled = self.last_drill().await;
        let (seconds_expected, seconds_expected_from) = match (&preview, drilled) {
            (Some(preview), Ok(Some(drilled))) => {
                let seconds = drilled.seconds * preview.bytes_raw as f64 / drilled.bytes_raw.max(1.0);
                let from = format!(
                    "the last drill restored {} MB of rows in {:.1} s (backup {})",
                    (drilled.bytes_raw / 1e6).round(),
                    drilled.seconds,
                    drilled.backup_id
                );
                (Some((seconds * 10.0).round() / 10.0), from)
            }
            (None, _) => (None, "the backup is not fit".to_owned()),
            (_, Ok(None)) => {
                (None, "no drill was measured yet: run verify {\"action\":\"drill\"}".to_owned())
            }
            (_, Err(reason)) => {
                (None, format!("production, which knows the last drill, cannot be asked: {reason}"))
            }
        };
        let is_possible = preview.as_ref().is_some_and(|preview| preview.problems.is_empty());
        Ok(PreviewReply {
            dry_run: true,
            status: if is_possible { "possible" } else { "not possible" },
            backup_id: backup.id.to_string(),
            backup_type: backup.manifest.backup_type.clone(),
            target_database: database.to_owned(),
            target_secret: asked.target_secret.clone(),
            target_time: asked.target,
            partial: backup.manifest.partial,
            preview,
            unfit,
            seconds_expected,
            seconds_expected_from,
        })
    }

    /// Production remembers what its drills took.
    async fn last_drill(&self) -> Result<Option<Drilled>, String> {
        let production = self.production().await.map_err(|failure| failure.to_string())?;
        let mut connection = db::connect(&production).await.map_err(|failure| failure.to_string())?;
        let row = sqlx::query(include_str!("last_drill.sql"))
            .persistent(false)
            .fetch_optional(&mut connection)
            .await
            .map_err(|error| ArchiveError::database("read the last drill", &error).to_string())?;
        Ok(row.map(|row| Drilled {
            backup_id: row.get("backup_id"),
            seconds: row.get("seconds"),
            bytes_raw: row.get("bytes_raw"),
        }))
    }
}
