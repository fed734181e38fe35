//! A backup as far as it can be judged without reading it: its manifest, its listing, and what the store knows of each
//! object's content.
//!
//! The store computed an object's SHA-256 when it arrived, and S3 tells it as long as the object is the same one: an
//! object that was overwritten is found. A byte that changed on the store's disks is not: the store's own checks, and
//! [`super::verify`], find that. An object that went up in pieces has a checksum of its pieces' checksums only.

use std::collections::BTreeSet;
use std::time::Instant;

use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::error::{ArchiveError, Damage};
use super::reading::{Backup, MISSING};
use super::store::{ObjectStore, StoreError, StoreErrorKind, StoredChecksum};

/// Questions to the store at a time.
const QUESTIONS_AT_A_TIME: usize = 16;

/// What was checked, and how.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Checked {
    /// Objects of the manifest that the listing has with their size, and none besides.
    pub objects_listed: u64,
    /// Those of them whose content the store vouches for: its SHA-256 is the manifest's.
    pub objects_by_sha256: u64,
    /// Their bytes.
    pub bytes_by_sha256: u64,
    /// Those that only their size speaks for, because they went up in pieces.
    pub objects_in_pieces: u64,
    /// Those that only their size speaks for, because the store has no SHA-256: something else put them there.
    pub objects_without_checksum: u64,
    /// Bytes of both: only `full` can prove them.
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
    let expected: Vec<Expected> = backup
        .manifest
        .checksums()
        .filter(|(key, ..)| !known.contains(key))
        .map(|(key, bytes, sha256)| Expected { key: key.to_owned(), bytes, sha256: sha256.to_owned() })
        .collect();
    let asked = stream::iter(expected).map(|expected| ask(backup, expected));
    let answers: Vec<_> = asked.buffer_unordered(QUESTIONS_AT_A_TIME).try_collect().await?;
    let mut checked = Checked {
        objects_listed: answers.len() as u64,
        objects_by_sha256: 0,
        bytes_by_sha256: 0,
        objects_in_pieces: 0,
        objects_without_checksum: 0,
        bytes_by_size_only: 0,
        elapsed_seconds: 0.0,
    };
    for (Expected { key, bytes, sha256 }, known) in answers {
        match known {
            None => damage.push(Damage::new(key, MISSING)),
            Some(StoredChecksum::Sha256(known)) if known == sha256 => {
                checked.objects_by_sha256 += 1;
                checked.bytes_by_sha256 += bytes;
            }
            Some(StoredChecksum::Sha256(_)) => {
                damage.push(Damage::new(key, "the store's SHA-256 of it differs from the manifest's"));
            }
            Some(StoredChecksum::OfPieces) => {
                checked.objects_in_pieces += 1;
                checked.bytes_by_size_only += bytes;
            }
            Some(StoredChecksum::Unknown) => {
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

/// An object as the manifest promises it.
struct Expected {
    key: String,
    bytes: u64,
    sha256: String,
}

/// What the store knows of an object; nothing where it is gone.
async fn ask<S: ObjectStore>(
    backup: &Backup<S>,
    expected: Expected,
) -> Result<(Expected, Option<StoredChecksum>), StoreError> {
    match backup.store.checksum(&backup.id.key(&expected.key)).await {
        Ok(known) => Ok((expected, Some(known))),
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok((expected, None)),
        Err(error) => Err(error),
    }
}
