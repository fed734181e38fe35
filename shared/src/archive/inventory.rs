//! The folders of backups in a bucket, as a listing shows them: names, sizes, times, and no byte of any object.

use std::collections::BTreeMap;
use std::str::FromStr;

use time::OffsetDateTime;

use super::error::ArchiveError;
use super::manifest::MANIFEST;
use super::names::{BACKUPS_PREFIX, BackupId};
use super::store::{ListedObject, ObjectStore};
use super::summary::{ListedBackup, Summary};

/// The folder of one backup, whole or not.
#[derive(Debug, Clone)]
pub struct Folder {
    /// The backup's name.
    pub id: BackupId,
    /// How many objects it has.
    pub objects: u64,
    /// The bytes of all of them.
    pub bytes: u64,
    /// Whether it has a manifest: without one it is no backup.
    pub sealed: bool,
    /// When its newest object was stored, by the store's clock; the manifest is the last.
    pub modified_at: Option<OffsetDateTime>,
    /// What the summary's key says.
    pub summary: Option<Summary>,
}

impl Folder {
    /// A folder in which nothing has been seen yet.
    pub fn new(id: BackupId) -> Self {
        Self { id, objects: 0, bytes: 0, sealed: false, modified_at: None, summary: None }
    }

    fn see(&mut self, key: &str, object: &ListedObject) {
        self.objects += 1;
        self.bytes += object.bytes;
        self.modified_at = self.modified_at.max(object.modified_at);
        self.sealed |= key == MANIFEST;
        self.summary = self.summary.take().or_else(|| Summary::parse(key));
    }

    /// Whether it holds the rows of a window only.
    pub fn is_partial(&self) -> bool {
        self.summary.as_ref().is_some_and(|summary| summary.partial)
    }

    /// From when on it may be pruned.
    pub fn expires_at(&self) -> Option<OffsetDateTime> {
        self.summary.as_ref().map(|summary| summary.expires_at)
    }

    /// The backup in it; none where it is not whole.
    pub fn listed(&self) -> Option<ListedBackup> {
        self.sealed.then(|| ListedBackup {
            backup_type: self.id.backup_type().to_owned(),
            partial: self.is_partial(),
            status: "completed",
            label: self.summary.as_ref().and_then(|summary| summary.label.clone()),
            record_count: self.summary.as_ref().map(|summary| summary.rows),
            file_size_bytes: self.bytes,
            created_at: self.id.created_at(),
            expires_at: self.expires_at(),
            backup_id: self.id.to_string(),
        })
    }
}

/// Lists the folders whose names begin with `prefix` (all with an empty one), oldest first.
///
/// # Errors
/// [`ArchiveError::Store`].
pub async fn list_folders(store: &impl ObjectStore, prefix: &str) -> Result<Vec<Folder>, ArchiveError> {
    let mut folders: BTreeMap<BackupId, Folder> = BTreeMap::new();
    store
        .list(&format!("{BACKUPS_PREFIX}{prefix}"), |object| {
            let path = object.key.strip_prefix(BACKUPS_PREFIX).and_then(|path| path.split_once('/'));
            let Some((folder, key)) = path else { return };
            let Ok(id) = BackupId::from_str(folder) else { return };
            folders.entry(id).or_insert_with_key(|id| Folder::new(id.clone())).see(key, &object);
        })
        .await?;
    Ok(folders.into_values().collect())
}
