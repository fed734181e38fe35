//! Full backups as the ends of replays: which one an instant starts from, and which comes next.

use std::sync::Arc;

use time::{Duration, OffsetDateTime};

use super::chain::{list_chains, read_manifest, sealed_segments};
use super::error::ChangesError;
use crate::archive::inventory::{Folder, list_folders};
use crate::archive::kind::BackupKind;
use crate::archive::reading::Backup;
use crate::archive::store::ObjectStore;

/// A backup shows an instant within this time of the one that its name bears: its invocation lives no longer.
const SNAPSHOT_WITHIN: Duration = Duration::minutes(15);

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

/// The first full backup that shows an instant after `at`: its name, and that instant.
///
/// # Errors
/// What listing and reading its manifest come to.
pub async fn first_full_after<S: ObjectStore>(
    store: &Arc<S>,
    at: OffsetDateTime,
) -> Result<Option<(String, OffsetDateTime)>, ChangesError> {
    let fulls = full_backups(&**store).await?;
    // Names are cut to the second, and the instant comes a little later still.
    for folder in fulls.iter().filter(|folder| folder.id.created_at() + SNAPSHOT_WITHIN > at) {
        let taken_at = instant_of(store, folder).await?;
        if taken_at > at {
            return Ok(Some((folder.id.to_string(), taken_at)));
        }
    }
    Ok(None)
}

/// The newest instant that the bucket can show: that of its newest segment of changes, or of its newest full backup.
///
/// # Errors
/// [`ChangesError::BeforeFirstBackup`] where there is no full backup; what reading manifests comes to.
pub async fn newest_instant<S: ObjectStore>(store: &Arc<S>) -> Result<OffsetDateTime, ChangesError> {
    let fulls = full_backups(&**store).await?;
    let Some(full) = fulls.last() else {
        return Err(ChangesError::BeforeFirstBackup { target: OffsetDateTime::now_utc(), oldest: None });
    };
    let shown = instant_of(store, full).await?;
    let Some(chain) = list_chains(&**store).await?.pop() else { return Ok(shown) };
    let Some(segment) = sealed_segments(&**store, &chain).await?.pop() else { return Ok(shown) };
    Ok(shown.max(read_manifest(&**store, &segment).await?.taken_at))
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
