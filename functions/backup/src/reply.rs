//! What the function answers.

use recoup::archive::backup::{BackupMade, Outcome};
use recoup::archive::format::TableFormat;
use recoup::archive::manifest::SelectionEntry;
use recoup::archive::summary::ListedBackup;
use serde::Serialize;
use time::OffsetDateTime;

use crate::changes::{CaptureReply, ChangesReply};
use crate::prune::PruneReply;
use crate::rebuild::RebuildReply;
use crate::status::StatusReply;

/// What the function answers.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum BackupReply {
    /// A backup was made.
    Made(Box<MadeReply>),
    /// Another delivery of the same scheduled invocation made it, or makes it.
    Duplicate(DuplicateReply),
    /// Changes were exported.
    Changes(ChangesReply),
    /// Tables are captured, or no more.
    Captured(CaptureReply),
    /// The backups that the bucket has.
    List {
        /// Complete ones, newest first.
        backups: Vec<ListedBackup>,
        /// Folders without a manifest.
        incomplete: Vec<String>,
    },
    /// What was pruned.
    Pruned(PruneReply),
    /// What the cache lacked.
    Rebuilt(RebuildReply),
    /// How a backup stands.
    Status(Box<StatusReply>),
}

/// No second backup was made.
#[derive(Debug, Serialize)]
pub struct DuplicateReply {
    /// The one that stands, or is being made as far as that is to be seen.
    backup_id: Option<String>,
    backup_type: String,
    /// `completed` or `running`.
    status: &'static str,
    duplicate: bool,
    record_count: Option<u64>,
    file_size_bytes: Option<u64>,
    #[serde(with = "time::serde::rfc3339::option")]
    created_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
}

/// The reply about a backup that was asked for.
pub(crate) fn outcome_reply(outcome: Outcome, backup_type: &str) -> BackupReply {
    match outcome {
        Outcome::Made(made) => BackupReply::Made(Box::new(made_reply(*made))),
        Outcome::Duplicate(backup) => BackupReply::Duplicate(DuplicateReply {
            backup_id: Some(backup.backup_id),
            backup_type: backup.backup_type,
            status: backup.status,
            duplicate: true,
            record_count: backup.record_count,
            file_size_bytes: Some(backup.file_size_bytes),
            created_at: Some(backup.created_at),
            expires_at: backup.expires_at,
        }),
        Outcome::Running { backup_id } => BackupReply::Duplicate(DuplicateReply {
            created_at: backup_id.as_ref().map(|id| id.created_at()),
            backup_id: backup_id.map(|id| id.to_string()),
            backup_type: backup_type.to_owned(),
            status: "running",
            duplicate: true,
            record_count: None,
            file_size_bytes: None,
            expires_at: None,
        }),
    }
}

/// A backup that was made.
#[derive(Debug, Serialize)]
pub struct MadeReply {
    backup_id: String,
    backup_type: String,
    status: &'static str,
    label: Option<String>,
    /// Whether it holds the rows of a window only: to merge, never to promote.
    partial: bool,
    format: TableFormat,
    record_count: u64,
    /// Bytes of all its objects, as `list` and `recoup.backups` have them.
    file_size_bytes: u64,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
    /// Which part of the database it is; absent for a full one.
    #[serde(skip_serializing_if = "Option::is_none")]
    selection: Option<SelectionEntry>,
    tables: Vec<TableReply>,
    unsupported: Vec<String>,
    warnings: Vec<String>,
    elapsed_seconds: f64,
}

/// One table of a backup.
#[derive(Debug, Serialize)]
pub struct TableReply {
    table: String,
    rows: u64,
}

/// The reply about a backup that was made.
fn made_reply(made: BackupMade) -> MadeReply {
    let BackupMade { manifest, warnings } = made;
    let tables = manifest.tables.iter();
    MadeReply {
        tables: tables
            .map(|table| TableReply { table: table.qualified_name(), rows: table.row_count })
            .collect(),
        file_size_bytes: manifest.file_size_bytes(),
        partial: manifest.partial,
        selection: manifest.selection,
        backup_id: manifest.backup_id,
        backup_type: manifest.backup_type,
        status: "completed",
        label: manifest.label,
        format: manifest.table_format,
        record_count: manifest.totals.rows,
        created_at: manifest.started_at,
        expires_at: manifest.expires_at,
        unsupported: manifest.unsupported,
        warnings,
        elapsed_seconds: (manifest.finished_at - manifest.started_at).as_seconds_f64(),
    }
}
