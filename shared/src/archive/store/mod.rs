//! The bucket, as the archive sees it: objects are created once and never overwritten.

use std::future::Future;

use bytes::Bytes;
use time::OffsetDateTime;

mod composite;
mod removal;
mod s3;
mod s3_reader;
mod upload;

pub use composite::CompositeSha256;
pub use removal::{Lock, UnfinishedUpload};
pub use s3::S3Store;
pub use upload::{OpenUploads, PIECE_BYTES, Uploaded, upload_stream};

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// Its whole key.
    pub key: String,
    /// Its size.
    pub bytes: u64,
    /// When it was stored, by the store's clock.
    pub modified_at: Option<OffsetDateTime>,
}

/// A piece of a multipart upload that the store has.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Counted from 1.
    pub number: i32,
    /// The store's name for it.
    pub etag: Option<String>,
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// Its size.
    pub bytes: u64,
}

/// What a store knows of an object's content without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredChecksum {
    /// The SHA-256 of its bytes, in hex, which the store computed when they arrived.
    Sha256(String),
    /// That of the checksums of its pieces, where it went up in pieces.
    OfPieces(CompositeSha256),
    /// None: something else than recoup put the object there, such as a copy, or the store keeps none.
    Unknown,
}

/// Where backups are kept.
pub trait ObjectStore: Send + Sync + 'static {
    /// Creates an object from memory; the store checks `sha256` against what arrived. Fails where the
    /// key is taken.
    fn put_new(
        &self,
        key: &str,
        body: Bytes,
        sha256: [u8; 32],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Begins an object that arrives in pieces, and gives the upload's id.
    fn begin_upload(&self, key: &str) -> impl Future<Output = Result<String, StoreError>> + Send;

    /// Stores one piece; all but the last have at least 5 MiB.
    fn put_piece(
        &self,
        key: &str,
        upload_id: &str,
        number: i32,
        body: Bytes,
    ) -> impl Future<Output = Result<Piece, StoreError>> + Send;

    /// Turns the pieces into the object, and gives the checksum that the store keeps of it. Fails where the key is
    /// taken.
    fn complete_upload(
        &self,
        key: &str,
        upload_id: &str,
        pieces: &[Piece],
    ) -> impl Future<Output = Result<CompositeSha256, StoreError>> + Send;

    /// Gives an upload up, so that its pieces are not kept and paid for.
    fn abort_upload(&self, key: &str, upload_id: &str)
    -> impl Future<Output = Result<(), StoreError>> + Send;

    /// What the store knows of an object's content.
    fn checksum(&self, key: &str) -> impl Future<Output = Result<StoredChecksum, StoreError>> + Send;

    /// Opens an object for reading.
    fn open(&self, key: &str) -> impl Future<Output = Result<Self::Reader, StoreError>> + Send;

    /// The bytes of an object, as they come.
    type Reader: ObjectReader;

    /// Shows every object whose key begins with `prefix` to `visit`, in the order of keys.
    fn list(
        &self,
        prefix: &str,
        visit: impl FnMut(ListedObject) + Send,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// The bytes of an object, as they come.
pub trait ObjectReader: Send {
    /// The object's size.
    fn bytes(&self) -> u64;

    /// The next bytes; `None` at the end of the object, never before it.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, StoreError>> + Send;
}

/// Reads a small object into memory.
///
/// # Errors
/// [`StoreError`]; an object larger than `bytes_max` is [`StoreErrorKind::TooLarge`].
pub async fn read_whole(store: &impl ObjectStore, key: &str, bytes_max: u64) -> Result<Vec<u8>, StoreError> {
    let mut reader = store.open(key).await?;
    if reader.bytes() > bytes_max {
        return Err(StoreError::new(
            StoreErrorKind::TooLarge,
            format!("read {key}"),
            format!("it has {} bytes where at most {bytes_max} are possible", reader.bytes()),
        ));
    }
    let mut whole = Vec::with_capacity(usize::try_from(reader.bytes()).unwrap_or_default());
    while let Some(chunk) = reader.next().await? {
        whole.extend_from_slice(&chunk);
    }
    Ok(whole)
}

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {reason}")]
pub struct StoreError {
    /// What kind of failure; it decides the stable type.
    pub kind: StoreErrorKind,
    operation: String,
    reason: String,
}

/// Kinds of [`StoreError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// There is no such object.
    NotFound,
    /// There is no such bucket.
    NoBucket,
    /// An object of that name exists, and none is ever overwritten.
    Taken,
    /// The credentials may not do this.
    Denied,
    /// The store has no room left.
    Full,
    /// What arrived is not what was sent.
    ChecksumMismatch,
    /// An object is larger than it can be.
    TooLarge,
    /// The clocks of the store and of this process are too far apart.
    ClockSkew,
    /// This store has no such function.
    Unsupported,
    /// The store cannot be reached, or fails.
    Unavailable,
}

impl StoreError {
    /// A failure of `operation` (verb and object); the remedy is the kind's.
    pub fn new(kind: StoreErrorKind, operation: impl Into<String>, reason: impl Into<String>) -> Self {
        let remedy = match kind {
            StoreErrorKind::NotFound => "check the name",
            StoreErrorKind::NoBucket => "check BACKUP_BUCKET and the region",
            StoreErrorKind::Taken => "run again: a new backup gets a new name",
            StoreErrorKind::Denied => "check the function's policy for this bucket and its key",
            StoreErrorKind::Full => "make room or raise the quota, then run again",
            StoreErrorKind::ChecksumMismatch => "run again; if it stays, check the network in between",
            StoreErrorKind::TooLarge => "the object is not what it should be",
            StoreErrorKind::ClockSkew => "set the clock of the machine that this runs on",
            StoreErrorKind::Unsupported => "use a store that has it",
            StoreErrorKind::Unavailable => "check that the store can be reached, then run again",
        };
        Self { kind, operation: operation.into(), reason: format!("{}; {remedy}", reason.into()) }
    }

    /// The stable type for alarms and scripts.
    pub fn error_type(&self) -> &'static str {
        match self.kind {
            StoreErrorKind::NotFound => "ObjectNotFound",
            StoreErrorKind::NoBucket => "BucketNotFound",
            StoreErrorKind::Taken => "ObjectExists",
            StoreErrorKind::Denied => "StoreDenied",
            StoreErrorKind::Full => "StoreFull",
            StoreErrorKind::ChecksumMismatch => "StoreChecksumMismatch",
            StoreErrorKind::TooLarge => "ObjectTooLarge",
            StoreErrorKind::ClockSkew => "ClockSkew",
            StoreErrorKind::Unsupported => "StoreUnsupported",
            StoreErrorKind::Unavailable => "StoreUnavailable",
        }
    }
}
