//! The segments of a chain as the bucket has them.

use std::collections::BTreeMap;

use super::error::ChangesError;
use super::manifest::{MANIFEST, MANIFEST_BYTES_MAX, SegmentManifest};
use super::names::{CHANGES_PREFIX, ChainId, SegmentId};
use crate::archive::error::Damage;
use crate::archive::reading::MISSING;
use crate::archive::store::{ObjectStore, StoreErrorKind, read_whole};

/// What a listing shows of one segment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListedSegment {
    /// How many objects its folder has.
    pub objects: u64,
    /// The bytes of all of them.
    pub bytes: u64,
    /// Whether it has a manifest: without one it is no segment.
    pub sealed: bool,
    /// When its newest object was stored, by the store's clock.
    pub modified_at: Option<time::OffsetDateTime>,
}

/// Lists segments whose keys begin with `prefix`, in the order of their names. Those without a manifest are among them.
///
/// # Errors
/// [`ChangesError::Store`].
pub async fn list_segments(
    store: &impl ObjectStore,
    prefix: &str,
) -> Result<BTreeMap<SegmentId, ListedSegment>, ChangesError> {
    let mut segments: BTreeMap<SegmentId, ListedSegment> = BTreeMap::new();
    store
        .list(prefix, |object| {
            let Some((id, key)) = split(&object.key) else { return };
            let segment = segments.entry(id).or_default();
            segment.objects += 1;
            segment.bytes += object.bytes;
            segment.modified_at = segment.modified_at.max(object.modified_at);
            segment.sealed |= key == MANIFEST;
        })
        .await?;
    Ok(segments)
}

/// Lists the objects of segments whose keys begin with `prefix`: their keys inside the segment's folder, and their sizes.
///
/// # Errors
/// [`ChangesError::Store`].
pub async fn list_objects(
    store: &impl ObjectStore,
    prefix: &str,
) -> Result<BTreeMap<SegmentId, BTreeMap<String, u64>>, ChangesError> {
    let mut segments: BTreeMap<SegmentId, BTreeMap<String, u64>> = BTreeMap::new();
    store
        .list(prefix, |object| {
            if let Some((id, key)) = split(&object.key) {
                segments.entry(id).or_default().insert(key.to_owned(), object.bytes);
            }
        })
        .await?;
    Ok(segments)
}

/// A whole key as its segment and the key inside that one's folder.
fn split(key: &str) -> Option<(SegmentId, &str)> {
    let path = key.strip_prefix(CHANGES_PREFIX)?;
    let (end, _) = path.match_indices('/').nth(1)?;
    Some((path[..end].parse().ok()?, &path[end + 1..]))
}

/// The names of a chain's segments, in order.
///
/// # Errors
/// [`ChangesError::Store`].
pub async fn sealed_segments(
    store: &impl ObjectStore,
    chain: &ChainId,
) -> Result<Vec<SegmentId>, ChangesError> {
    let listed = list_segments(store, &chain.folder()).await?;
    Ok(listed.into_iter().filter(|(_, segment)| segment.sealed).map(|(id, _)| id).collect())
}

/// The chains of a bucket, in the order of their beginnings.
///
/// # Errors
/// [`ChangesError::Store`].
pub async fn list_chains(store: &impl ObjectStore) -> Result<Vec<ChainId>, ChangesError> {
    let mut chains: Vec<ChainId> =
        list_segments(store, CHANGES_PREFIX).await?.into_keys().map(|id| id.chain().clone()).collect();
    chains.dedup();
    Ok(chains)
}

/// Reads the manifest of a segment and proves it whole.
///
/// # Errors
/// [`ChangesError::Damaged`], where it is missing as well; [`ChangesError::FormatUnknown`]; [`ChangesError::Store`].
pub async fn read_manifest(
    store: &impl ObjectStore,
    id: &SegmentId,
) -> Result<SegmentManifest, ChangesError> {
    match read_whole(store, &id.key(MANIFEST), MANIFEST_BYTES_MAX).await {
        Ok(bytes) => SegmentManifest::from_bytes(id, &bytes),
        Err(error) if error.kind == StoreErrorKind::NotFound => Err(ChangesError::Damaged {
            segment_id: id.to_string(),
            damage: vec![Damage::new(MANIFEST, MISSING)],
        }),
        Err(error) => Err(error.into()),
    }
}
