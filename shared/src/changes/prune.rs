//! Which segments go: those before the oldest full backup that an instant of the window, or a recovery point, is
//! restored from. A chain is cut at its beginning alone, so that what stays of it has no hole.

use serde::Serialize;
use time::{Duration, OffsetDateTime};

use super::chain::{ListedSegment, list_segments};
use super::names::{CHANGES_PREFIX, SegmentId};
use crate::archive::ArchiveError;
use crate::archive::manifest::MANIFEST;
use crate::archive::store::{ObjectStore, S3Store};

/// A backup shows an instant after the one that its name bears: whatever a little before that could be needed stays.
const MARGIN: Duration = Duration::days(1);

/// A segment without a manifest may still be written as long as anything in it is younger than this.
const LEFTOVER_AGE_MIN: Duration = Duration::days(1);

/// Segments that go, and what stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PrunedSegments {
    /// How many go.
    pub removed: u64,
    /// Their bytes.
    pub bytes_freed: u64,
    /// The last of them.
    pub newest_removed: Option<String>,
    /// How many stay.
    pub kept: u64,
    /// Instants before this one need no changes any more; null where every segment stays.
    #[serde(with = "time::serde::rfc3339::option")]
    pub needed_from: Option<OffsetDateTime>,
}

/// A segment with what the listing shows of it.
pub(crate) type Segment = (SegmentId, ListedSegment);

/// What of the bucket's segments goes, oldest first. `oldest_base` is when the oldest full backup began that some
/// instant is restored from; without one everything stays.
///
/// # Errors
/// [`ArchiveError::Store`].
pub(crate) async fn expired(
    store: &impl ObjectStore,
    oldest_base: Option<OffsetDateTime>,
    now: OffsetDateTime,
) -> Result<(Vec<Segment>, PrunedSegments), ArchiveError> {
    let segments = list_segments(store, CHANGES_PREFIX).await?;
    Ok(decide(segments.into_iter().collect(), oldest_base, now))
}

fn decide(
    segments: Vec<Segment>,
    oldest_base: Option<OffsetDateTime>,
    now: OffsetDateTime,
) -> (Vec<Segment>, PrunedSegments) {
    let needed_from = oldest_base.map(|base| base - MARGIN);
    // The export goes on from it, whatever its age.
    let newest = segments.iter().filter(|(_, segment)| segment.sealed).map(|(id, _)| id.clone()).max();
    let goes = |(id, segment): &Segment| match segment.sealed {
        true => needed_from.is_some_and(|from| id.taken_at() < from) && newest.as_ref() != Some(id),
        false => segment.modified_at.unwrap_or(id.taken_at()).max(id.taken_at()) < now - LEFTOVER_AGE_MIN,
    };
    let (going, staying): (Vec<Segment>, Vec<Segment>) = segments.into_iter().partition(goes);
    let pruned = PrunedSegments {
        removed: going.len() as u64,
        bytes_freed: going.iter().map(|(_, segment)| segment.bytes).sum(),
        newest_removed: going
            .iter()
            .map(|(id, _)| id)
            .max_by_key(|id| id.taken_at())
            .map(ToString::to_string),
        kept: staying.len() as u64,
        needed_from,
    };
    (going, pruned)
}

/// Removes one segment, its manifest first: what a prune that is interrupted leaves is none any more. `None` where S3
/// holds it, else whether the bucket keeps it as an older version.
///
/// # Errors
/// [`ArchiveError::Store`].
pub(crate) async fn remove(
    store: &S3Store,
    id: &SegmentId,
    now: OffsetDateTime,
) -> Result<Option<bool>, ArchiveError> {
    let manifest = id.key(MANIFEST);
    let mut keys = Vec::new();
    store.list(&id.folder(), |object| keys.push(object.key)).await?;
    keys.sort_by_key(|key| *key != manifest);
    let Some((first, rest)) = keys.split_first() else { return Ok(Some(false)) };
    if let Some(Some(_)) = store.lock_of(first, now).await? {
        return Ok(None);
    }
    let versions_kept = store.delete(first).await?;
    store.delete_all(rest).await?;
    Ok(Some(versions_kept))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::names::ChainId;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-24 05:10 UTC);

    fn segment(chain: u32, sequence: u64, hours: i64, sealed: bool) -> Segment {
        let chain = ChainId::new(NOW - Duration::days(90), chain);
        let taken_at = NOW - Duration::hours(hours);
        let listed = ListedSegment { objects: 1, bytes: 10, sealed, modified_at: Some(taken_at) };
        (SegmentId::new(chain, sequence, taken_at, 7), listed)
    }

    fn hours_left(segments: Vec<Segment>, oldest_base: Option<Duration>) -> Vec<i64> {
        let all: Vec<i64> = segments.iter().map(|(id, _)| (NOW - id.taken_at()).whole_hours()).collect();
        let (going, pruned) = decide(segments, oldest_base.map(|age| NOW - age), NOW);
        let gone: Vec<i64> = going.iter().map(|(id, _)| (NOW - id.taken_at()).whole_hours()).collect();
        assert_eq!((pruned.removed as usize, pruned.kept as usize), (gone.len(), all.len() - gone.len()));
        all.into_iter().filter(|hours| !gone.contains(hours)).collect()
    }

    #[test]
    fn what_no_instant_needs_goes_from_the_beginning() {
        let chain = || vec![100, 80, 60, 40, 20, 1];
        let segments = || {
            let numbered = chain().into_iter().enumerate();
            numbered.map(|(at, hours)| segment(1, at as u64, hours, true)).collect::<Vec<_>>()
        };
        assert_eq!(hours_left(segments(), Some(Duration::hours(40))), [60, 40, 20, 1]);
        assert_eq!(hours_left(segments(), None), chain(), "nobody says what is needed");
        assert_eq!(hours_left(segments(), Some(Duration::ZERO)), [20, 1]);
    }

    #[test]
    fn the_newest_stays_however_old_and_leftovers_wait() {
        let old = vec![segment(1, 7, 900, true), segment(1, 8, 800, true)];
        assert_eq!(hours_left(old, Some(Duration::ZERO)), [800]);
        let leftovers = vec![segment(1, 1, 30, false), segment(1, 2, 2, false), segment(1, 3, 1, true)];
        assert_eq!(hours_left(leftovers, None), [2, 1]);
    }
}
