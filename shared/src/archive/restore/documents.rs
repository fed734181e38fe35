//! The small objects of a backup, which are read before anything is created.

use crate::archive::encryption::Decryption;
use crate::archive::error::{ArchiveError, Damage};
use crate::archive::reading::{Backup, ReadError};
use crate::archive::store::ObjectStore;

pub(super) async fn read_definitions<S: ObjectStore>(
    backup: &Backup<S>,
    decryption: &Decryption,
) -> Result<String, ArchiveError> {
    let key = &backup.manifest.schema.object.key;
    let sql = backup.read_definitions(decryption).await.map_err(|error| unreadable(backup, key, error))?;
    match backup.manifest.statement_outside(&sql) {
        None => Ok(sql),
        Some(name) => {
            let reason = format!("it has no statement for {name}");
            Err(backup.damaged(vec![Damage::new(key, reason)]))
        }
    }
}

/// The small objects are not needed here, but a backup with a damaged object is not trusted in part.
pub(super) async fn check_instructions<S: ObjectStore>(backup: &Backup<S>) -> Result<(), ArchiveError> {
    for object in [&backup.manifest.instructions, &backup.manifest.summary] {
        backup.read_document(object).await.map_err(|error| unreadable(backup, &object.key, error))?;
    }
    Ok(())
}

fn unreadable<S: ObjectStore>(backup: &Backup<S>, key: &str, error: ReadError) -> ArchiveError {
    match error {
        ReadError::Damaged(reason) => backup.damaged(vec![Damage::new(key, reason)]),
        ReadError::Store(error) => error.into(),
        ReadError::CutOff => ArchiveError::Interrupted { operation: format!("read {key}") },
    }
}
