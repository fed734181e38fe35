//! Full backups as the ends of replays: which one an instant starts from, and which comes next.

use std::sync::Arc;

use time::OffsetDateTime;

use super::error::ChangesError;
use crate::archive::inventory::{Folder, list_folders};
use crate::archive::kind::BackupKind;
use crate::archive::reading::Backup;
use crate::archive::store::ObjectStore;

/// Opens the newest full backup that shows an instant at or before `target`.
///
/// # Errors
/// [`ChangesError::BeforeFirstBackup`]; what reading its manifest comes to.
pub async fn newest_full_by<S: ObjectStore>(
    store: &Arc<S>,
    target: OffsetDateTime,
) -> Result<Backup<S>, ChangesError> {
    let fulls = full_backups(&**store).await?;
    for folder in fulls.iter().rev().filter(|folder| folder.id.created_at() <= target) {
        let backup = Backup::open(Arc::clone(store), folder.id.clone()).await?;
        if backup.manifest.snapshot.taken_at <= target {
            return Ok(backup);
        }
    }
    let oldest = match fulls.first() {
        Some(folder) => Some(instant_of(store, folder).await?),
        None => None,
    };
    Err(ChangesError::BeforeFirstBackup { target, oldest })
}

/// The first full backup that began after `at`: its name, and the instant that it shows.
///
/// # Errors
/// What listing and reading its manifest come to.
pub async fn first_full_after<S: ObjectStore>(
    store: &Arc<S>,
    at: OffsetDateTime,
) -> Result<Option<(String, OffsetDateTime)>, ChangesError> {
    let fulls = full_backups(&**store).await?;
    let Some(folder) = fulls.iter().find(|folder| folder.id.created_at() > at) else { return Ok(None) };
    Ok(Some((folder.id.to_string(), instant_of(store, folder).await?)))
}

async fn instant_of<S: ObjectStore>(store: &Arc<S>, folder: &Folder) -> Result<OffsetDateTime, ChangesError> {
    Ok(Backup::open(Arc::clone(store), folder.id.clone()).await?.manifest.snapshot.taken_at)
}

/// Whole full backups, oldest first.
async fn full_backups(store: &impl ObjectStore) -> Result<Vec<Folder>, ChangesError> {
    let mut folders = list_folders(store, "").await?;
    let full = BackupKind::Full.as_str();
    folders.retain(|folder| folder.sealed && folder.id.backup_type() == full && !folder.is_partial());
    Ok(folders)
}
