//! Reading a backup: its manifest, its folder, its objects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::decode::{DecodeError, decode_rows, decrypt_document, prove_stored};
use super::encode::Flow;
use super::encryption::Decryption;
use super::error::{ArchiveError, Damage};
use super::format::RowDecoder;
use super::manifest::{MANIFEST, MANIFEST_BYTES_MAX, Manifest, PartEntry, StoredObject, TableEntry};
use super::names::BackupId;
use super::store::{ObjectReader, ObjectStore, StoreError, StoreErrorKind, read_whole};

/// Definitions and instructions are text that a person can read.
const DOCUMENT_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What is said of an object that is not there.
pub const MISSING: &str = "it is missing";

/// Chunks of stored bytes that wait for the thread that decodes them.
const WAITING: usize = 4;

/// One backup in a bucket.
pub struct Backup<S> {
    /// The bucket.
    pub store: Arc<S>,
    /// Its name.
    pub id: BackupId,
    /// What it holds.
    pub manifest: Manifest,
}

impl<S: ObjectStore> Backup<S> {
    /// Reads the manifest of backup `id` and proves it whole.
    ///
    /// # Errors
    /// [`ArchiveError::BackupNotFound`] where it has no manifest, [`ArchiveError::BackupDamaged`],
    /// [`ArchiveError::FormatUnknown`], [`ArchiveError::Store`].
    pub async fn open(store: Arc<S>, id: BackupId) -> Result<Self, ArchiveError> {
        let bytes = match read_whole(&*store, &id.key(MANIFEST), MANIFEST_BYTES_MAX).await {
            Ok(bytes) => bytes,
            // A policy that lets one list only below a prefix makes S3 answer Denied for what is missing.
            Err(error) if matches!(error.kind, StoreErrorKind::NotFound | StoreErrorKind::Denied) => {
                return Err(Self::explain_missing(&*store, &id, error).await);
            }
            Err(error) => return Err(error.into()),
        };
        let manifest = Manifest::from_bytes(&id, &bytes)?;
        Ok(Self { store, id, manifest })
    }

    /// Why there is no manifest to read: the listing knows.
    async fn explain_missing(store: &S, id: &BackupId, error: StoreError) -> ArchiveError {
        let (mut objects, mut sealed) = (0_u64, false);
        let manifest = id.key(MANIFEST);
        let listed = store
            .list(&id.folder(), |object| {
                objects += 1;
                sealed |= object.key == manifest;
            })
            .await;
        if listed.is_err() || sealed {
            return error.into();
        }
        let found = match objects {
            0 => "there is no such backup".to_owned(),
            _ => format!(
                "its folder has {objects} objects and no manifest.json: it still runs, or was never completed"
            ),
        };
        ArchiveError::BackupNotFound { backup_id: id.to_string(), found }
    }

    /// Damage as an error of this backup.
    pub fn damaged(&self, damage: Vec<Damage>) -> ArchiveError {
        ArchiveError::BackupDamaged { backup_id: self.id.to_string(), damage }
    }

    /// Compares the folder's listing with the manifest: what is missing, of another size, or not named.
    ///
    /// # Errors
    /// [`ArchiveError::Store`].
    pub async fn check_listing(&self) -> Result<Vec<Damage>, ArchiveError> {
        let folder = self.id.folder();
        let expected: BTreeMap<&str, u64> = self.manifest.objects().collect();
        let mut found = BTreeSet::new();
        let mut damage = Vec::new();
        self.store
            .list(&folder, |object| {
                let Some(key) = object.key.strip_prefix(&folder).filter(|key| *key != MANIFEST) else {
                    return;
                };
                match expected.get_key_value(key) {
                    None => damage.push(Damage::new(key, "it does not belong to this backup")),
                    Some((&key, &bytes)) => {
                        found.insert(key);
                        if bytes != object.bytes {
                            let reason =
                                format!("it has {} bytes where the manifest says {bytes}", object.bytes);
                            damage.push(Damage::new(key, reason));
                        }
                    }
                }
            })
            .await?;
        let missing = expected.keys().filter(|key| !found.contains(*key));
        damage.extend(missing.map(|key| Damage::new(*key, MISSING)));
        damage.sort_by(|one, other| one.object.cmp(&other.object));
        Ok(damage)
    }

    /// Reads one of the small objects and proves it unchanged.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read_document(&self, object: &StoredObject) -> Result<Vec<u8>, ReadError> {
        let bytes = read_whole(&*self.store, &self.id.key(&object.key), DOCUMENT_BYTES_MAX).await?;
        let sha256 = hex::encode(Sha256::digest(&bytes));
        prove_stored(bytes.len() as u64, &sha256, object.bytes_stored, &object.sha256)?;
        Ok(bytes)
    }

    /// Reads the definitions as SQL.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read_definitions(&self, decryption: &Decryption) -> Result<String, ReadError> {
        let object = &self.manifest.schema.object;
        let stored = self.read_document(object).await?;
        let text = decrypt_document(&stored, decryption)?;
        String::from_utf8(text).map_err(|_| ReadError::Damaged("it is not UTF-8 text".to_owned()))
    }

    /// Reads a part of `table`, proves it unchanged, and hands its rows to `rows` (where given) as they come, as
    /// lines of COPY text.
    /// `Flow::End` follows only when every proof has succeeded.
    ///
    /// # Errors
    /// [`ReadError`]; [`ReadError::CutOff`] where nobody takes the rows any more.
    pub async fn read_part(
        &self,
        table: &TableEntry,
        part: &PartEntry,
        decryption: &Decryption,
        rows: Option<mpsc::Sender<Flow<Vec<u8>>>>,
    ) -> Result<(), ReadError> {
        let decoder = self.manifest.table_format.decoder(&table.columns);
        read_rows_of(&*self.store, &self.id.key(&part.key), part, decoder, decryption, rows).await
    }
}

/// Reads the object of a part at `key`, as [`Backup::read_part`] does.
///
/// # Errors
/// [`ReadError`]; [`ReadError::CutOff`] where nobody takes the rows any more.
pub async fn read_rows_of<S: ObjectStore>(
    store: &S,
    key: &str,
    part: &PartEntry,
    decoder: RowDecoder,
    decryption: &Decryption,
    rows: Option<mpsc::Sender<Flow<Vec<u8>>>>,
) -> Result<(), ReadError> {
    let (stored_in, stored_out) = mpsc::channel(WAITING);
    let decoder = {
        let (part, decryption) = (part.clone(), decryption.clone());
        tokio::task::spawn_blocking(move || {
            decode_rows(stored_out, &part, decoder, &decryption, |batch| match &rows {
                None => Ok(()),
                Some(rows) => rows.blocking_send(Flow::Chunk(batch)).map_err(|_| DecodeError::CutOff),
            })?;
            match rows {
                None => Ok(()),
                Some(rows) => rows.blocking_send(Flow::End).map_err(|_| DecodeError::CutOff),
            }
        })
    };
    let (fetched, decoded) = tokio::join!(fetch(store, key, stored_in), decoder);
    fetched?;
    decoded.map_err(|_| ReadError::CutOff)??;
    Ok(())
}

/// Hands the stored bytes of an object to the thread that decodes them.
async fn fetch<S: ObjectStore>(
    store: &S,
    key: &str,
    stored: mpsc::Sender<Flow<Bytes>>,
) -> Result<(), StoreError> {
    let mut reader = store.open(key).await?;
    while let Some(chunk) = reader.next().await? {
        if stored.send(Flow::Chunk(chunk)).await.is_err() {
            return Ok(());
        }
    }
    // Where this cannot be sent the decoder has failed, and tells why itself.
    let _ = stored.send(Flow::End).await;
    Ok(())
}

/// Why an object could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is not what the manifest promises.
    #[error("{0}")]
    Damaged(String),
    /// The reader of its rows went away.
    #[error("the rows were not taken to their end")]
    CutOff,
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
}

impl From<DecodeError> for ReadError {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Damaged(reason) => Self::Damaged(reason),
            DecodeError::CutOff => Self::CutOff,
        }
    }
}

impl From<StoreError> for ReadError {
    fn from(error: StoreError) -> Self {
        match error.kind {
            StoreErrorKind::NotFound => Self::Damaged(MISSING.to_owned()),
            _ => Self::Store(error),
        }
    }
}
