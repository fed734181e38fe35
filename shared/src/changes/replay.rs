//! Which changes lead from a full backup to an instant, and whether they do.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt;
use time::OffsetDateTime;

use super::chain::{list_chains, read_manifest, sealed_segments};
use super::error::ChangesError;
use super::instants::first_full_after;
use super::manifest::{BarrierKind, CapturedTable, SegmentManifest};
use super::names::SegmentId;
use super::snapshot::TransactionSnapshot;
use crate::archive::ArchiveError;
use crate::archive::manifest::Manifest;
use crate::archive::store::ObjectStore;

/// Manifests that are asked for at a time: each is a request of some milliseconds and a few KB.
const MANIFESTS_AT_A_TIME: usize = 16;

/// What leads from a full backup to an instant.
#[derive(Debug, Clone)]
pub struct Replay {
    /// The instant.
    pub target: OffsetDateTime,
    /// The segments to read, in order. Those that the backup has all of already are left out.
    pub segments: Vec<SegmentManifest>,
    /// Tables of the backup whose changes are captured at the instant, with their keys.
    pub captured: Vec<CapturedTable>,
    /// Tables of the backup, as `schema.table`, whose changes are not captured: they stay as the backup shows them.
    pub not_captured: Vec<String>,
    /// What the backup sees.
    pub(super) snapshot: TransactionSnapshot,
}

impl Replay {
    /// Finds what leads from the full backup of `full` to `target`, and proves that nothing of it is missing. Reads
    /// manifests alone.
    ///
    /// # Errors
    /// [`ChangesError::Gap`], [`ChangesError::Barrier`], [`ChangesError::AfterLastChange`],
    /// [`ChangesError::Damaged`] for a manifest; [`ArchiveError::InvalidRequest`] for a backup that shows a later
    /// instant or only a part of the database.
    pub async fn plan<S: ObjectStore>(
        store: &Arc<S>,
        full: &Manifest,
        target: OffsetDateTime,
    ) -> Result<Self, ChangesError> {
        let taken_at = full.snapshot.taken_at;
        if taken_at > target || !full.is_everything() {
            return Err(ArchiveError::InvalidRequest(format!(
                "restore the state of {target} from backup {}: it shows {taken_at}{}; choose a full backup of an instant before",
                full.backup_id,
                if full.is_everything() { "" } else { ", and only a part of the database" },
            ))
            .into());
        }
        let snapshot: TransactionSnapshot =
            full.snapshot.transactions.parse().map_err(ArchiveError::InvalidRequest)?;
        if taken_at == target {
            return Ok(Self {
                target,
                segments: Vec::new(),
                captured: Vec::new(),
                not_captured: Vec::new(),
                snapshot,
            });
        }
        let Some(link) = &full.changes else {
            let reason = format!(
                "no changes were exported of the database that backup {} shows, which is the newest before it",
                full.backup_id
            );
            return Err(gap(store, target, reason, taken_at).await);
        };
        let first: SegmentId = link.segment_id.parse().map_err(ArchiveError::InvalidRequest)?;
        let mut replay =
            Self { target, segments: Vec::new(), captured: Vec::new(), not_captured: Vec::new(), snapshot };
        let last = replay.follow(store, first, taken_at).await?;
        replay.compare_tables(full, &last);
        Ok(replay)
    }

    /// Follows the chain from the segment after `first` to the one that reaches the instant, which it gives.
    async fn follow<S: ObjectStore>(
        &mut self,
        store: &Arc<S>,
        first: SegmentId,
        taken_at: OffsetDateTime,
    ) -> Result<SegmentManifest, ChangesError> {
        let mut names = sealed_segments(&**store, first.chain()).await?;
        names.retain(|id| id.sequence() > first.sequence());
        let mut manifests = futures::stream::iter(names)
            .map(|id| {
                let store = Arc::clone(store);
                async move { read_manifest(&*store, &id).await }
            })
            .buffered(MANIFESTS_AT_A_TIME)
            .peekable();
        let mut before = (first, None::<SegmentManifest>);
        let mut reached = taken_at;
        loop {
            let Some(manifest) = manifests.next().await.transpose()? else {
                return Err(self.unreached(store, &before.0, reached).await?);
            };
            let id = manifest.id();
            if let Some(reason) = broken_link(&before.0, before.1.as_ref(), &id, &manifest) {
                return Err(gap(store, self.target, reason, reached).await);
            }
            if let Some(Ok(next)) = std::pin::Pin::new(&mut manifests).peek().await
                && next.id().sequence() == id.sequence()
            {
                let reason =
                    format!("two histories go on after segment {}: {id} and {}", before.0, next.id());
                return Err(gap(store, self.target, reason, reached).await);
            }
            self.check_barriers(store, &manifest).await?;
            reached = reached.max(manifest.taken_at);
            if !self.snapshot.sees_all_of(&manifest.snapshot()) && manifest.rows > 0 {
                self.segments.push(manifest.clone());
            }
            if manifest.taken_at >= self.target {
                return Ok(manifest);
            }
            before = (id, Some(manifest));
        }
    }

    async fn check_barriers<S: ObjectStore>(
        &self,
        store: &Arc<S>,
        manifest: &SegmentManifest,
    ) -> Result<(), ChangesError> {
        let all_seen = self.snapshot.sees_all_of(&manifest.snapshot());
        let stops = |xid: Option<u64>| match xid {
            Some(xid) => !self.snapshot.sees(xid),
            None => !all_seen,
        };
        let barrier =
            manifest.barriers.iter().find(|barrier| barrier.at <= self.target && stops(barrier.xid));
        let Some(barrier) = barrier else { return Ok(()) };
        let next = first_full_after(store, barrier.at).await?;
        Err(ChangesError::Barrier {
            target: self.target,
            table: barrier.table.clone(),
            what: match barrier.kind {
                BarrierKind::DefinitionChanged => "was altered",
                BarrierKind::CaptureBegan => "began to be captured",
                BarrierKind::CaptureEnded => "was dropped, or ceased to be captured,",
            },
            at: barrier.at,
            next: next.map(|(id, taken_at)| format!("{id}, which shows {taken_at}")),
        })
    }

    /// Why the chain ends before the instant: it broke and another followed, or it goes no further yet.
    async fn unreached<S: ObjectStore>(
        &self,
        store: &Arc<S>,
        last: &SegmentId,
        reached: OffsetDateTime,
    ) -> Result<ChangesError, ChangesError> {
        let chains = list_chains(&**store).await?;
        Ok(match chains.iter().find(|chain| *chain > last.chain()) {
            None => ChangesError::AfterLastChange { target: self.target, newest: reached },
            Some(later) => {
                let reason =
                    format!("the chain of changes ends at {last}, and chain {later} has another history");
                gap(store, self.target, reason, reached).await
            }
        })
    }

    /// Tells which of the backup's tables are captured.
    fn compare_tables(&mut self, full: &Manifest, last: &SegmentManifest) {
        let captured: BTreeSet<(&str, &str)> =
            last.tables.iter().map(|table| (table.schema.as_str(), table.name.as_str())).collect();
        self.not_captured = full
            .tables
            .iter()
            .filter(|table| !captured.contains(&(table.schema.as_str(), table.name.as_str())))
            .map(crate::archive::manifest::TableEntry::qualified_name)
            .collect();
        self.captured = last.tables.clone();
    }

    /// Changes in its segments: no fewer than will be replayed.
    pub fn rows_max(&self) -> u64 {
        self.segments.iter().map(|segment| segment.rows).sum()
    }

    /// Stored bytes that are read.
    pub fn bytes_stored(&self) -> u64 {
        self.segments.iter().map(SegmentManifest::bytes_stored).sum()
    }
}

/// Why `manifest` does not follow the segment `before`.
pub(super) fn broken_link(
    before: &SegmentId,
    read: Option<&SegmentManifest>,
    id: &SegmentId,
    manifest: &SegmentManifest,
) -> Option<String> {
    if id.sequence() != before.sequence() + 1 {
        let missing = before.sequence() + 1;
        return Some(format!("segment {missing} of chain {} is missing", before.chain()));
    }
    let Some(previous) = &manifest.previous else {
        return Some(format!("segment {id} names none before it"));
    };
    if previous.segment_id != before.to_string() {
        return Some(format!("segment {id} follows {} and not {before}", previous.segment_id));
    }
    match read {
        Some(read) if read.content_sha256 != previous.content_sha256 => {
            Some(format!("segment {before} is not the one that {id} follows: its checksum differs"))
        }
        _ => None,
    }
}

/// A gap that begins at `before`; the instant after it is the next full backup's.
async fn gap<S: ObjectStore>(
    store: &Arc<S>,
    target: OffsetDateTime,
    reason: String,
    before: OffsetDateTime,
) -> ChangesError {
    match first_full_after(store, target).await {
        Ok(next) => ChangesError::Gap {
            target,
            reason,
            before: Some(before),
            after: next.map(|(_, taken_at)| taken_at),
        },
        Err(error) => error,
    }
}
