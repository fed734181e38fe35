//! What a listing tells about a backup: the key of one small object in its folder.
//!
//! The function that writes backups may list the bucket and may not read from it, so what
//! `{"action":"list"}` answers stands in names: the folder has time, type and id, the listing has sizes,
//! and `summary/rows-42_expires-20270219T020000Z_label-before%20release` has the rest; with `_partial` before
//! `_label` for a backup of a window.

use percent_encoding::percent_decode_str;
use serde::Serialize;
use time::OffsetDateTime;

use super::error::ArchiveError;
use super::inventory::list_folders;
use super::kind::BackupKind;
use super::names::{BackupId, encode_component, key_timestamp, parse_key_timestamp};
use super::store::ObjectStore;

const FOLDER: &str = "summary/";
const PARTIAL: &str = "_partial";

/// A label is at most this long, so that the summary fits into a file name.
pub const LABEL_BYTES_MAX: usize = 60;

/// What the key of a summary says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Rows in the backup.
    pub rows: u64,
    /// From when on it may be pruned.
    pub expires_at: OffsetDateTime,
    /// Whether it holds the rows of a window only.
    pub partial: bool,
    /// What the operator called it.
    pub label: Option<String>,
}

impl Summary {
    /// The key inside the backup's folder.
    pub fn key(&self) -> String {
        let label = self.label.as_deref().map_or(String::new(), encode_component);
        let partial = if self.partial { PARTIAL } else { "" };
        let expires_at = key_timestamp(self.expires_at);
        format!("{FOLDER}rows-{}_expires-{expires_at}{partial}_label-{label}", self.rows)
    }

    pub(super) fn parse(key: &str) -> Option<Self> {
        let rest = key.strip_prefix(FOLDER)?.strip_prefix("rows-")?;
        let (rows, rest) = rest.split_once("_expires-")?;
        let (expires_at, label) = rest.split_once("_label-")?;
        let (expires_at, partial) =
            expires_at.strip_suffix(PARTIAL).map_or((expires_at, false), |expires_at| (expires_at, true));
        let label = percent_decode_str(label).decode_utf8().ok()?.into_owned();
        Some(Self {
            rows: rows.parse().ok()?,
            expires_at: parse_key_timestamp(expires_at)?,
            partial,
            label: Some(label).filter(|label| !label.is_empty()),
        })
    }
}

/// Refuses a label that no summary can carry.
///
/// # Errors
/// [`ArchiveError::InvalidRequest`].
pub fn check_label(label: &str) -> Result<(), ArchiveError> {
    if label.is_empty() || label.len() > LABEL_BYTES_MAX || label.chars().any(char::is_control) {
        return Err(ArchiveError::InvalidRequest(format!(
            "label has 1 to {LABEL_BYTES_MAX} bytes and no control characters, for example \"before release 12\""
        )));
    }
    Ok(())
}

/// A backup as the bucket's listing shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedBackup {
    /// Its name.
    pub backup_id: String,
    /// `full`, `payments`, `orders`, `tickets` or `tables`.
    pub backup_type: String,
    /// Whether it holds the rows of a window only.
    pub partial: bool,
    /// `completed`: what has no manifest is no backup.
    pub status: &'static str,
    /// What the operator called it.
    pub label: Option<String>,
    /// Rows in it.
    pub record_count: Option<u64>,
    /// Bytes of all its objects.
    pub file_size_bytes: u64,
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// From when on it may be pruned.
    #[serde(with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
}

/// All backups of a bucket.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct BackupList {
    /// Those that are complete, newest first.
    pub backups: Vec<ListedBackup>,
    /// Folders without a manifest: backups that still run, or that ended early. None can be restored.
    pub incomplete: Vec<String>,
}

/// Lists the backups of a bucket from names and sizes alone.
///
/// # Errors
/// [`ArchiveError::Store`].
pub async fn list_backups(store: &impl ObjectStore) -> Result<BackupList, ArchiveError> {
    let mut list = BackupList::default();
    for folder in list_folders(store, "").await?.into_iter().rev() {
        match folder.listed() {
            Some(backup) => list.backups.push(backup),
            None => list.incomplete.push(folder.id.to_string()),
        }
    }
    Ok(list)
}

/// Finds the backup that a request names: an id, `latest` for the newest full one, or `latest-payments` and so on
/// for the newest of another kind. A backup of a window is never the latest.
///
/// # Errors
/// [`ArchiveError::InvalidRequest`] for what is no backup's name, [`ArchiveError::BackupNotFound`] for
/// `latest` in a bucket without one. Whether an id exists is seen when its manifest is read.
pub async fn find_backup(store: &impl ObjectStore, wanted: &str) -> Result<BackupId, ArchiveError> {
    let kind = match wanted.strip_prefix("latest") {
        Some("") => Some(BackupKind::Full),
        Some(rest) => rest.strip_prefix('-').and_then(|kind| kind.parse().ok()),
        None => None,
    };
    let Some(kind) = kind else { return wanted.parse().map_err(ArchiveError::InvalidRequest) };
    let list = list_backups(store).await?;
    let is_wanted = |backup: &&ListedBackup| backup.backup_type == kind.as_str() && !backup.partial;
    let newest = list.backups.iter().find(is_wanted).ok_or_else(|| ArchiveError::BackupNotFound {
        backup_id: wanted.to_owned(),
        found: format!(
            "the bucket has no {kind} backup (and {} of other kinds or of a window, {} unfinished)",
            list.backups.len(),
            list.incomplete.len()
        ),
    })?;
    newest.backup_id.parse().map_err(ArchiveError::InvalidRequest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_summary_reads_back_from_its_key() {
        for label in [None, Some("before release 12"), Some("Größe_label-/x")] {
            let expires_at = datetime!(2027-02-19 02:00:00 UTC);
            for partial in [false, true] {
                let summary = Summary { rows: 42, expires_at, partial, label: label.map(str::to_owned) };
                let key = summary.key();
                assert_eq!(Summary::parse(&key), Some(summary), "{key}");
            }
        }
        assert_eq!(Summary::parse("data/x"), None);
    }

    #[test]
    fn labels_that_no_name_can_carry_are_refused() {
        assert!(check_label("before release 12").is_ok());
        for label in ["", "line\nbreak", &"x".repeat(LABEL_BYTES_MAX + 1)] {
            assert!(check_label(label).is_err());
        }
        let summary = Summary {
            rows: u64::MAX,
            expires_at: datetime!(2027-02-19 02:00:00 UTC),
            partial: true,
            label: Some("€".repeat(LABEL_BYTES_MAX / 3)),
        };
        assert!(summary.key().len() - FOLDER.len() <= 255);
    }
}
