//! Is a backup whole? Every byte of the folder is compared with the manifest.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::encryption::{Decryption, Identities};
use super::error::{ArchiveError, Damage};
use super::manifest::MANIFEST;
use super::progress::Progress;
use super::reading::{Backup, MISSING, ReadError};
use super::store::ObjectStore;

/// Parts that are read at a time. Each takes some 3 MB: chunks, a decompressor, a batch of rows.
const PARTS_AT_A_TIME: usize = 4;

/// What was proven.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// Objects that were compared, the manifest included.
    pub objects: u64,
    /// Rows that were read.
    pub rows: u64,
    /// Stored bytes that were read.
    pub bytes_stored: u64,
    /// Bytes of rows that these held.
    pub bytes_raw: u64,
    /// How long it took.
    pub elapsed_seconds: f64,
}

/// Reads every byte: size, SHA-256, decryption, decompression, the shape of each row, counts, digests.
///
/// # Errors
/// [`ArchiveError::WrongKey`] before any data is read, [`ArchiveError::BackupDamaged`] naming every
/// damaged object, [`ArchiveError::Store`].
pub async fn verify_full<S: ObjectStore>(
    backup: Arc<Backup<S>>,
    identities: &Identities,
) -> Result<Verified, ArchiveError> {
    let began = Instant::now();
    let decryption = identities.opening(&backup.manifest)?;
    let mut damage = backup.check_listing().await?;

    let missing: BTreeSet<String> =
        damage.iter().filter(|known| known.reason == MISSING).map(|known| known.object.clone()).collect();
    let manifest = &backup.manifest;
    for object in [&manifest.instructions, &manifest.summary] {
        if !missing.contains(&object.key) {
            note(&mut damage, &object.key, backup.read_document(object).await.map(drop))?;
        }
    }
    if !missing.contains(&manifest.schema.object.key) {
        let definitions = verify_definitions(&backup, &decryption).await;
        note(&mut damage, &manifest.schema.object.key, definitions)?;
    }
    let progress = Arc::new(Progress::new("verify", backup.id.as_str(), manifest.totals.bytes_raw));
    progress.watch(verify_parts(&backup, &decryption, &missing, &progress, &mut damage)).await?;

    if !damage.is_empty() {
        damage.sort_by(|one, other| one.object.cmp(&other.object));
        return Err(backup.damaged(damage));
    }
    Ok(Verified {
        objects: manifest.objects().count() as u64 + 1,
        rows: manifest.totals.rows,
        bytes_stored: manifest.totals.bytes_stored,
        bytes_raw: manifest.totals.bytes_raw,
        elapsed_seconds: began.elapsed().as_secs_f64(),
    })
}

async fn verify_definitions<S: ObjectStore>(
    backup: &Backup<S>,
    decryption: &Decryption,
) -> Result<(), ReadError> {
    let sql = backup.read_definitions(decryption).await?;
    match backup.manifest.statement_outside(&sql) {
        Some(name) => Err(ReadError::Damaged(format!("it has no statement for {name}"))),
        None => Ok(()),
    }
}

async fn verify_parts<S: ObjectStore>(
    backup: &Arc<Backup<S>>,
    decryption: &Decryption,
    missing: &BTreeSet<String>,
    progress: &Arc<Progress>,
    damage: &mut Vec<Damage>,
) -> Result<(), ArchiveError> {
    let places = Arc::new(Semaphore::new(PARTS_AT_A_TIME));
    let mut running = JoinSet::new();
    for (table, entry) in backup.manifest.tables.iter().enumerate() {
        let parts = (0..entry.parts.len()).filter(|part| !missing.contains(&entry.parts[*part].key));
        for part in parts {
            let place = Arc::clone(&places).acquire_owned().await;
            let (backup, decryption) = (Arc::clone(backup), decryption.clone());
            let progress = Arc::clone(progress);
            running.spawn(async move {
                let _place = place;
                let table = &backup.manifest.tables[table];
                let part = &table.parts[part];
                let read = backup.read_part(table, part, &decryption, None).await;
                progress.add(part.bytes_raw);
                (part.key.clone(), read)
            });
            while let Some(ended) = running.try_join_next() {
                note_ended(damage, ended)?;
            }
        }
    }
    while let Some(ended) = running.join_next().await {
        note_ended(damage, ended)?;
    }
    Ok(())
}

fn note_ended(
    damage: &mut Vec<Damage>,
    ended: Result<(String, Result<(), ReadError>), tokio::task::JoinError>,
) -> Result<(), ArchiveError> {
    let interrupted = |_| ArchiveError::Interrupted { operation: "verify the parts".to_owned() };
    let (key, read) = ended.map_err(interrupted)?;
    note(damage, &key, read)
}

/// Keeps damage for the report; what is not damage ends the work. An object that the listing showed to
/// be missing or of another size is named once.
fn note(damage: &mut Vec<Damage>, key: &str, read: Result<(), ReadError>) -> Result<(), ArchiveError> {
    match read {
        Ok(()) => Ok(()),
        Err(ReadError::Damaged(reason)) => {
            if !damage.iter().any(|known| known.object == key) {
                damage.push(Damage::new(key, reason));
            }
            Ok(())
        }
        Err(ReadError::Store(error)) => Err(error.into()),
        Err(ReadError::CutOff) => {
            Err(ArchiveError::Interrupted { operation: format!("read {key} ({MANIFEST} names it)") })
        }
    }
}
