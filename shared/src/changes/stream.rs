//! The changes of a replay, as they are to be applied.

use std::collections::HashSet;
use std::sync::Arc;

use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::change::{self, COLUMNS, Change, Tables, parse_instant, parse_number};
use super::error::ChangesError;
use super::manifest::SegmentManifest;
use super::replay::Replay;
use super::snapshot::TransactionSnapshot;
use crate::archive::encode::Flow;
use crate::archive::encryption::{Decryption, Identities};
use crate::archive::error::{ArchiveError, Damage};
use crate::archive::format::TableFormat;
use crate::archive::manifest::{Column, PartEntry};
use crate::archive::reading::{ReadError, read_rows_of};
use crate::archive::store::ObjectStore;

/// Batches that wait to be taken.
const WAITING: usize = 2;

/// The columns of an object with straddling transactions.
pub const STRADDLING_COLUMNS: [&str; 3] = ["xid", "first_at", "last_at"];

/// The changes of a replay, in the order in which they are to be applied. Memory is that of a few batches of some
/// 256 KiB (or of one row, where that is larger), whatever there is to replay.
pub struct ChangeStream {
    batches: mpsc::Receiver<Vec<Change>>,
    work: Option<JoinHandle<Result<(), ChangesError>>>,
}

impl Replay {
    /// Begins to read its changes.
    ///
    /// # Errors
    /// [`ChangesError::WrongKey`], before anything is read.
    pub fn stream<S: ObjectStore>(
        &self,
        store: Arc<S>,
        identities: &Identities,
    ) -> Result<ChangeStream, ChangesError> {
        let opened: Vec<(SegmentManifest, Decryption)> = self
            .segments
            .iter()
            .map(|segment| Ok((segment.clone(), decryption(segment, identities)?)))
            .collect::<Result<_, ChangesError>>()?;
        let (batches_in, batches) = mpsc::channel(WAITING);
        let (snapshot, target) = (self.snapshot.clone(), self.target);
        let work = tokio::spawn(async move {
            for (segment, decryption) in opened {
                let reading = Reading { store: &*store, segment: &segment, decryption: &decryption };
                reading.send(&snapshot, target, &batches_in).await?;
            }
            Ok(())
        });
        Ok(ChangeStream { batches, work: Some(work) })
    }
}

impl ChangeStream {
    /// The next changes, never an empty batch; `None` after the last. An object is proven whole only when it has been
    /// read to its end: what was applied counts only once this has answered `None`.
    ///
    /// # Errors
    /// [`ChangesError::Damaged`], [`ChangesError::Store`].
    pub async fn next_batch(&mut self) -> Result<Option<Vec<Change>>, ChangesError> {
        if let Some(batch) = self.batches.recv().await {
            return Ok(Some(batch));
        }
        let Some(work) = self.work.take() else { return Ok(None) };
        let interrupted = |_| ArchiveError::Interrupted { operation: "read the changes".to_owned() };
        work.await.map_err(interrupted)??;
        Ok(None)
    }
}

impl Drop for ChangeStream {
    fn drop(&mut self) {
        if let Some(work) = &self.work {
            work.abort();
        }
    }
}

/// How a segment's objects are opened.
///
/// # Errors
/// [`ChangesError::WrongKey`].
pub fn decryption(segment: &SegmentManifest, identities: &Identities) -> Result<Decryption, ChangesError> {
    identities.decryption(&segment.encryption).ok_or_else(|| ChangesError::WrongKey {
        segment_id: segment.segment_id.clone(),
        identities: identities.count(),
        recipients: segment.encryption.recipients.clone(),
    })
}

/// Columns of these names, all text.
pub(super) fn columns(names: &[&str]) -> Vec<Column> {
    names.iter().map(|name| Column { name: (*name).to_owned(), data_type: "text".to_owned() }).collect()
}

/// One segment that is being read.
pub(super) struct Reading<'r, S> {
    pub(super) store: &'r S,
    pub(super) segment: &'r SegmentManifest,
    pub(super) decryption: &'r Decryption,
}

impl<S: ObjectStore> Reading<'_, S> {
    /// Hands on the changes that are neither in the snapshot nor after the instant.
    async fn send(
        &self,
        snapshot: &TransactionSnapshot,
        target: OffsetDateTime,
        batches: &mpsc::Sender<Vec<Change>>,
    ) -> Result<(), ChangesError> {
        let straddling = self.straddling(target).await?;
        let tables = Tables::of(self.segment);
        for part in &self.segment.changes {
            let wanted = |line: &[u8]| {
                let change = change::parse(line, &tables)?;
                let is_wanted =
                    change.at <= target && !snapshot.sees(change.xid) && !straddling.contains(&change.xid);
                Ok(is_wanted.then_some(change))
            };
            if !self.read_lines(part, &COLUMNS, wanted, Some(batches)).await? {
                break;
            }
        }
        Ok(())
    }

    /// The transactions that had begun by `target` and had not ended by then: no more than the server had sessions.
    async fn straddling(&self, target: OffsetDateTime) -> Result<HashSet<u64>, ChangesError> {
        let mut straddling = HashSet::new();
        if self.segment.last_at.is_none_or(|last_at| last_at <= target) {
            return Ok(straddling);
        }
        for part in &self.segment.straddling {
            let keep = |line: &[u8]| {
                let [xid, first_at, last_at] = change::fields::<{ STRADDLING_COLUMNS.len() }>(line)?;
                if parse_instant(first_at)? <= target && target < parse_instant(last_at)? {
                    straddling.insert(parse_number(xid)?);
                }
                Ok(None::<Change>)
            };
            self.read_lines(part, &STRADDLING_COLUMNS, keep, None).await?;
        }
        Ok(straddling)
    }

    /// Reads an object and proves it whole. What `parse` makes of its lines goes to `batches`; `false` where nobody
    /// takes them any more.
    pub(super) async fn read_lines<T>(
        &self,
        part: &PartEntry,
        names: &[&str],
        mut parse: impl FnMut(&[u8]) -> Result<Option<T>, &'static str>,
        batches: Option<&mpsc::Sender<Vec<T>>>,
    ) -> Result<bool, ChangesError> {
        let (rows_in, mut rows) = mpsc::channel::<Flow<Vec<u8>>>(WAITING);
        let key = self.segment.id().key(&part.key);
        let decoder = TableFormat::Copy.decoder(&columns(names));
        // It owns the receiver, so that its end is the decoder's too.
        let taking = async move {
            let mut unfinished: Vec<u8> = Vec::new();
            while let Some(Flow::Chunk(chunk)) = rows.recv().await {
                let Some(end) = memchr::memrchr(b'\n', &chunk) else {
                    unfinished.extend_from_slice(&chunk);
                    continue;
                };
                unfinished.extend_from_slice(&chunk[..end]);
                let lines = unfinished.split(|byte| *byte == b'\n');
                let batch =
                    lines.filter_map(|line| parse(line).transpose()).collect::<Result<Vec<T>, _>>()?;
                if let Some(batches) = batches
                    && !batch.is_empty()
                    && batches.send(batch).await.is_err()
                {
                    return Ok(false);
                }
                unfinished.clear();
                unfinished.extend_from_slice(&chunk[end + 1..]);
            }
            Ok(true)
        };
        let reading = read_rows_of(self.store, &key, part, decoder, self.decryption, Some(rows_in));
        let (read, taken): (_, Result<bool, &'static str>) = tokio::join!(reading, taking);
        let damaged = |reason: String| ChangesError::Damaged {
            segment_id: self.segment.segment_id.clone(),
            damage: vec![Damage::new(part.key.clone(), reason)],
        };
        match (read, taken) {
            (Err(ReadError::Damaged(reason)), _) => Err(damaged(reason)),
            (Err(ReadError::Store(error)), _) => Err(error.into()),
            (_, Err(reason)) => Err(damaged(format!("a line of it {reason}"))),
            (_, Ok(false)) => Ok(false),
            (Err(ReadError::CutOff), Ok(true)) => {
                Err(ArchiveError::Interrupted { operation: format!("read {key}") }.into())
            }
            (Ok(()), Ok(true)) => Ok(true),
        }
    }
}
