//! A backup as far as it can be judged without reading it: its manifest, its listing, and what the store knows of each
//! object's content.
//!
//! The store computed an object's SHA-256 when it arrived, and S3 tells it as long as the object is the same one: an
//! object that was overwritten is found. A byte that changed on the store's disks is not: the store's own checks, and
//! [`super::verify`], find that. Of an object that went up in pieces the store tells the checksum of its pieces'
//! checksums, and the manifest has the same since format 2.

use std::collections::BTreeSet;
use std::time::Instant;

use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::error::{ArchiveError, Damage};
use super::manifest::Promise;
use super::reading::{Backup, MISSING};
use super::store::{ObjectStore, StoreError, StoreErrorKind, StoredChecksum};

/// Questions to the store at a time.
const QUESTIONS_AT_A_TIME: usize = 16;

/// Said of an object whose bytes may even be the same: `full` tells.
const OTHER_PIECES: &str =
    "the store's checksum of its pieces differs from the manifest's: it was stored again after the backup";

/// What was checked, and how.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Checked {
    /// Objects of the manifest that the listing has with their size, and none besides.
    pub objects_listed: u64,
    /// Those of them whose content the store vouches for: its SHA-256 is the manifest's.
    pub objects_by_sha256: u64,
    /// Their bytes.
    pub bytes_by_sha256: u64,
    /// Those that went up in pieces, and whose pieces the store vouches for: their composite SHA-256 is the manifest's.
    pub objects_by_composite_sha256: u64,
    /// Their bytes.
    pub bytes_by_composite_sha256: u64,
    /// Those that only their size speaks for: the store has no SHA-256 of them, or none that the manifest can be
    /// compared with.
    pub objects_without_checksum: u64,
    /// Their bytes: only `full` can prove them.
    pub bytes_by_size_only: u64,
    /// How long it took.
    pub elapsed_seconds: f64,
}

/// Compares manifest, listing and the store's checksums.
///
/// # Errors
/// [`ArchiveError::BackupDamaged`] naming every object that differs; [`ArchiveError::Store`].
pub async fn verify_quick<S: ObjectStore>(backup: &Backup<S>) -> Result<Checked, ArchiveError> {
    let began = Instant::now();
    let mut damage = backup.check_listing().await?;
    let known: BTreeSet<&str> = damage.iter().map(|damage| damage.object.as_str()).collect();
    let expected: Vec<Promise> =
        backup.manifest.promises().filter(|promise| !known.contains(promise.key)).collect();
    let keys: Vec<String> = expected.iter().map(|promise| backup.id.key(promise.key)).collect();
    let asked = stream::iter(keys).map(|key| ask(&*backup.store, key));
    let answers: Vec<_> = asked.buffered(QUESTIONS_AT_A_TIME).try_collect().await?;
    let mut checked = Checked {
        objects_listed: answers.len() as u64,
        objects_by_sha256: 0,
        bytes_by_sha256: 0,
        objects_by_composite_sha256: 0,
        bytes_by_composite_sha256: 0,
        objects_without_checksum: 0,
        bytes_by_size_only: 0,
        elapsed_seconds: 0.0,
    };
    for (promise, known) in expected.into_iter().zip(answers) {
        let Promise { key, bytes_stored: bytes, sha256, composite_sha256 } = promise;
        match known {
            None => damage.push(Damage::new(key, MISSING)),
            Some(StoredChecksum::Sha256(known)) if known == sha256 => {
                checked.objects_by_sha256 += 1;
                checked.bytes_by_sha256 += bytes;
            }
            Some(StoredChecksum::Sha256(_)) => {
                damage.push(Damage::new(key, "the store's SHA-256 of it differs from the manifest's"));
            }
            Some(StoredChecksum::OfPieces(known)) if Some(known) == composite_sha256 => {
                checked.objects_by_composite_sha256 += 1;
                checked.bytes_by_composite_sha256 += bytes;
            }
            Some(StoredChecksum::OfPieces(_)) if composite_sha256.is_some() => {
                damage.push(Damage::new(key, OTHER_PIECES));
            }
            Some(StoredChecksum::OfPieces(_) | StoredChecksum::Unknown) => {
                checked.objects_without_checksum += 1;
                checked.bytes_by_size_only += bytes;
            }
        }
    }
    if !damage.is_empty() {
        damage.sort_by(|one, other| one.object.cmp(&other.object));
        return Err(backup.damaged(damage));
    }
    checked.elapsed_seconds = began.elapsed().as_secs_f64();
    Ok(checked)
}

/// What the store knows of an object; nothing where it is gone.
async fn ask(store: &impl ObjectStore, key: String) -> Result<Option<StoredChecksum>, StoreError> {
    match store.checksum(&key).await {
        Ok(known) => Ok(Some(known)),
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
