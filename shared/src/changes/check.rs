//! Are the chains whole? Every manifest is read and every object opened, decrypted, counted and compared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use serde::Serialize;
use time::OffsetDateTime;

use super::chain::{list_objects, read_manifest};
use super::change::{self, COLUMNS, Change};
use super::error::ChangesError;
use super::manifest::{MANIFEST, SegmentManifest};
use super::names::{CHANGES_PREFIX, SegmentId};
use super::snapshot::TransactionSnapshot;
use super::stream::{Reading, STRADDLING_COLUMNS, decryption};
use crate::archive::encryption::Identities;
use crate::archive::reading::MISSING;
use crate::archive::store::ObjectStore;

/// Segments that are opened at a time. Each takes some 2 MB.
const SEGMENTS_AT_A_TIME: usize = 4;

/// What was proven.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckedChanges {
    /// Chains, of which each is one history.
    pub chains: u64,
    /// Segments in all of them.
    pub segments: u64,
    /// Changes that were read.
    pub record_count: u64,
    /// Stored bytes that were read, without manifests.
    pub bytes_stored: u64,
    /// Up to when the newest chain reaches; null where there is none.
    #[serde(with = "time::serde::rfc3339::option")]
    pub reaches: Option<OffsetDateTime>,
    /// How long it took.
    pub elapsed_seconds: f64,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Fault {
    /// The segment.
    pub segment_id: String,
    /// What is wrong with it, and with which of its objects.
    pub reason: String,
}

/// Checks every chain of a bucket.
///
/// # Errors
/// [`ChangesError::Broken`] naming every fault; [`ChangesError::WrongKey`]; [`ChangesError::Store`].
pub async fn check_changes<S: ObjectStore>(
    store: &Arc<S>,
    identities: &Identities,
) -> Result<CheckedChanges, ChangesError> {
    let began = Instant::now();
    let listed = list_objects(&**store, CHANGES_PREFIX).await?;
    let sealed: Vec<(SegmentId, BTreeMap<String, u64>)> =
        listed.into_iter().filter(|(_, objects)| objects.contains_key(MANIFEST)).collect();
    let mut checked = CheckedChanges {
        chains: 0,
        segments: sealed.len() as u64,
        record_count: 0,
        bytes_stored: 0,
        reaches: None,
        elapsed_seconds: 0.0,
    };
    let mut faults = Vec::new();
    let mut before: Option<(SegmentId, Option<SegmentManifest>)> = None;
    let mut opened = futures::stream::iter(sealed)
        .map(|(id, objects)| {
            let store = Arc::clone(store);
            async move {
                let mut found = Vec::new();
                let manifest = check_segment(&*store, &id, &objects, identities, &mut found).await;
                (id, manifest, found)
            }
        })
        .buffered(SEGMENTS_AT_A_TIME);
    while let Some((id, manifest, found)) = opened.next().await {
        let manifest = manifest?;
        faults.extend(found);
        let same_chain = before.take_if(|(before, _)| before.chain() == id.chain());
        if same_chain.is_none() {
            checked.chains += 1;
        }
        if let Some((before, read)) = &same_chain
            && let Some(reason) = manifest
                .as_ref()
                .and_then(|manifest| super::replay::broken_link(before, read.as_ref(), &id, manifest))
        {
            faults.push(Fault { segment_id: id.to_string(), reason });
        }
        if let Some(manifest) = &manifest {
            checked.record_count += manifest.rows;
            checked.bytes_stored += manifest.bytes_stored();
            checked.reaches = Some(manifest.taken_at);
        }
        before = Some((id, manifest));
    }
    if !faults.is_empty() {
        faults.sort();
        faults.dedup();
        return Err(ChangesError::Broken { faults });
    }
    checked.elapsed_seconds = began.elapsed().as_secs_f64();
    Ok(checked)
}

/// Checks one segment; `None` where its manifest cannot be read.
async fn check_segment<S: ObjectStore>(
    store: &S,
    id: &SegmentId,
    objects: &BTreeMap<String, u64>,
    identities: &Identities,
    faults: &mut Vec<Fault>,
) -> Result<Option<SegmentManifest>, ChangesError> {
    let mut fault = |reason: String| faults.push(Fault { segment_id: id.to_string(), reason });
    let manifest = match read_manifest(store, id).await {
        Ok(manifest) => manifest,
        Err(ChangesError::Damaged { damage, .. }) => {
            damage.iter().for_each(|damage| fault(damage.to_string()));
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let named: BTreeSet<&str> = manifest.objects().map(|part| part.key.as_str()).chain([MANIFEST]).collect();
    for stranger in objects.keys().filter(|key| !named.contains(key.as_str())) {
        fault(format!("{stranger} (it does not belong to this segment)"));
    }
    let decryption = decryption(&manifest, identities)?;
    let reading = Reading { store, segment: &manifest, decryption: &decryption };
    let missing = |key: &str| !objects.contains_key(key);
    let mut order = Order::of(&manifest);
    for part in &manifest.changes {
        if missing(&part.key) {
            fault(format!("{} ({MISSING})", part.key));
            continue;
        }
        let read = reading.read_lines(part, &COLUMNS, |line| order.judge(line), None).await;
        note(read, &mut fault)?;
    }
    for part in &manifest.straddling {
        if missing(&part.key) {
            fault(format!("{} ({MISSING})", part.key));
            continue;
        }
        let read = reading.read_lines(part, &STRADDLING_COLUMNS, |_| Ok(None::<Change>), None).await;
        note(read, &mut fault)?;
    }
    Ok(Some(manifest))
}

fn note(read: Result<bool, ChangesError>, fault: &mut impl FnMut(String)) -> Result<(), ChangesError> {
    match read {
        Ok(_) => Ok(()),
        Err(ChangesError::Damaged { damage, .. }) => {
            damage.iter().for_each(|damage| fault(damage.to_string()));
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// What holds for the changes of a segment: ids rise, times are within the given ones, each is of a transaction that this segment's snapshot sees and
/// the one before did not.
struct Order {
    last_id: i64,
    snapshot: TransactionSnapshot,
    previous: Option<TransactionSnapshot>,
    times: (Option<OffsetDateTime>, Option<OffsetDateTime>),
}

impl Order {
    fn of(manifest: &SegmentManifest) -> Self {
        let previous = manifest.previous.as_ref().and_then(|previous| previous.snapshot.parse().ok());
        let times = (manifest.first_at, manifest.last_at);
        Self { last_id: i64::MIN, snapshot: manifest.snapshot(), previous, times }
    }

    fn judge(&mut self, line: &[u8]) -> Result<Option<Change>, &'static str> {
        let (id, xid, at) = change::place(line)?;
        if id <= self.last_id {
            return Err("has an id that is not above the one before it");
        }
        let seen_before = self.previous.as_ref().is_some_and(|previous| previous.sees(xid));
        if seen_before || !self.snapshot.sees(xid) {
            return Err("is of a transaction that belongs to another segment");
        }
        if self.times.0.is_none_or(|first| at < first) || self.times.1.is_none_or(|last| at > last) {
            return Err("has a time outside of those that the manifest gives");
        }
        self.last_id = id;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    /// Judges lines of id, transaction and second, in order; gives what is wrong with the last.
    fn judged(lines: &[(i64, u64, u8)]) -> Result<(), &'static str> {
        let mut order = Order {
            last_id: i64::MIN,
            snapshot: "20:30:20".parse().expect("a snapshot"),
            previous: Some("10:16:10,14".parse().expect("a snapshot")),
            times: (Some(datetime!(2026-11-24 05:10:10 UTC)), Some(datetime!(2026-11-24 05:10:20 UTC))),
        };
        let line = |(id, xid, second): &(i64, u64, u8)| {
            format!("{id}\t{xid}\t2026-11-24 05:10:{second:02}+00\tD\tpublic\torders\t(1)")
        };
        let (last, before) = lines.split_last().expect("a line");
        for fine in before {
            assert_eq!(order.judge(line(fine).as_bytes()), Ok(None), "{fine:?}");
        }
        order.judge(line(last).as_bytes()).map(|_| ())
    }

    #[test]
    fn a_change_that_does_not_belong_to_its_segment_is_known() {
        assert_eq!(judged(&[(5, 10, 10), (6, 14, 20), (9, 16, 15), (10, 29, 15)]), Ok(()));
        let not_above = Err("has an id that is not above the one before it");
        assert_eq!(judged(&[(5, 10, 10), (5, 14, 10)]), not_above);
        assert_eq!(judged(&[(5, 10, 10), (4, 14, 10)]), not_above);
        // The segment before has it; none has it yet.
        for xid in [9, 11, 15, 20, 30] {
            let another = Err("is of a transaction that belongs to another segment");
            assert_eq!(judged(&[(5, xid, 15)]), another, "{xid}");
        }
        for second in [9, 21] {
            let outside = Err("has a time outside of those that the manifest gives");
            assert_eq!(judged(&[(5, 10, second)]), outside, "{second}");
        }
    }
}
