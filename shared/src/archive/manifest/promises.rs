//! What a manifest promises of each object.

use super::Manifest;
use crate::archive::store::CompositeSha256;

/// What the manifest promises of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise<'m> {
    /// Key inside the backup's folder.
    pub key: &'m str,
    /// Size as stored.
    pub bytes_stored: u64,
    /// SHA-256 of the stored bytes, in hex.
    pub sha256: &'m str,
    /// What the store keeps of it, where it went up in pieces.
    pub composite_sha256: Option<CompositeSha256>,
}

impl Manifest {
    /// Every object that belongs to the backup besides the manifest: key and stored size.
    pub fn objects(&self) -> impl Iterator<Item = (&str, u64)> {
        self.promises().map(|promise| (promise.key, promise.bytes_stored))
    }

    /// The same with their checksums.
    pub fn promises(&self) -> impl Iterator<Item = Promise<'_>> {
        let singles = [&self.schema.object, &self.instructions, &self.summary].map(|object| Promise {
            key: &object.key,
            bytes_stored: object.bytes_stored,
            sha256: &object.sha256,
            composite_sha256: None,
        });
        let parts = self.tables.iter().flat_map(|table| &table.parts).map(|part| Promise {
            key: &part.key,
            bytes_stored: part.bytes_stored,
            sha256: &part.sha256,
            composite_sha256: part.composite_sha256,
        });
        singles.into_iter().chain(parts)
    }
}
