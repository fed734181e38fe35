//! What the function answers.

use recoup::archive::backup::BackupMade;
use recoup::archive::manifest::SelectionEntry;
use recoup::archive::summary::ListedBackup;
use serde::Serialize;
use time::OffsetDateTime;

/// What the function answers.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum BackupReply {
    /// A backup was made.
    Made(Box<MadeReply>),
    /// The backups that the bucket has.
    List {
        /// Complete ones, newest first.
        backups: Vec<ListedBackup>,
        /// Folders without a manifest.
        incomplete: Vec<String>,
    },
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
pub(crate) fn made_reply(made: BackupMade) -> MadeReply {
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
        record_count: manifest.totals.rows,
        created_at: manifest.started_at,
        expires_at: manifest.expires_at,
        unsupported: manifest.unsupported,
        warnings,
        elapsed_seconds: (manifest.finished_at - manifest.started_at).as_seconds_f64(),
    }
}
