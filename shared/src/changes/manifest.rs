//! `manifest.json` of a segment, written last: a segment exists when its manifest does.
//!
//! Plain and strict JSON that ends in the checksum of its own bytes, as a backup's
//! ([`crate::archive::manifest`]). It holds names, counts and times, no row.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::names::SegmentId;
use super::snapshot::TransactionSnapshot;
use crate::archive::error::Damage;
use crate::archive::manifest::self_proof;
use crate::archive::manifest::{Column, Encryption, PartEntry};

use super::error::ChangesError;

/// The format that this version writes and reads.
pub const FORMAT_VERSION: u32 = 1;

/// The manifest's own name in the segment's folder.
pub const MANIFEST: &str = "manifest.json";

/// Thousands of tables with their columns are a few MB; more is not a manifest.
pub const MANIFEST_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Everything that is known about a segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentManifest {
    /// Which reader it needs.
    pub format_version: u32,
    /// Its name, equal to its folder's: `<chain>/<sequence>-<utc time>-<8 hex digits>`.
    pub segment_id: String,
    /// The segment before; null for the first of a chain, which holds no changes and only says where the chain begins.
    pub previous: Option<Previous>,
    /// Version of the writer.
    pub recoup_version: String,
    /// Postgres' `server_version_num`.
    pub postgres_version: i32,
    /// The database's name.
    pub database: String,
    /// `pg_current_snapshot()`: the transactions that this segment and those before it hold.
    pub snapshot: String,
    /// Time on the server just before the snapshot was taken: every transaction that had committed by then is in this
    /// segment or in one before it.
    #[serde(with = "time::serde::rfc3339")]
    pub taken_at: OffsetDateTime,
    /// The tables that were captured at the snapshot, by schema and name.
    pub tables: Vec<CapturedTable>,
    /// Across what no replay goes, in the order of their instants.
    pub barriers: Vec<Barrier>,
    /// Transactions in it.
    pub transactions: u64,
    /// Changes in it.
    pub rows: u64,
    /// Changes whose row had columns that were to be read at export and were gone by then: they are empty here. See
    /// [`CapturedTable::read_at_export`].
    pub rows_incomplete: u64,
    /// The first and the last time of a change in it; null where it has none.
    #[serde(with = "time::serde::rfc3339::option")]
    pub first_at: Option<OffsetDateTime>,
    /// See `first_at`.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_at: Option<OffsetDateTime>,
    /// Objects with changes, as COPY text in the order of ids: see [`super::change::COLUMNS`].
    pub changes: Vec<PartEntry>,
    /// Objects with the transactions whose statements ended at several times, as COPY text: xid, time of the first,
    /// time of the last.
    pub straddling: Vec<PartEntry>,
    /// How objects are compressed: always `zstd` in this version.
    pub compression: String,
    /// Who can open it.
    pub encryption: Encryption,
    /// SHA-256 of this file with these digits as zeros.
    pub content_sha256: String,
}

/// The segment before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Previous {
    /// Its name.
    pub segment_id: String,
    /// Its manifest's `content_sha256`.
    pub content_sha256: String,
    /// Its snapshot.
    pub snapshot: String,
    /// Its `taken_at`.
    #[serde(with = "time::serde::rfc3339")]
    pub taken_at: OffsetDateTime,
}

/// A table whose changes are captured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CapturedTable {
    /// Schema.
    pub schema: String,
    /// Name. A partition stands here under its own name, beside its table.
    pub name: String,
    /// The columns of its primary key, or of the unique key that stands for one, in the order in which
    /// [`super::Action::Delete`] gives their values.
    pub key: Vec<String>,
    /// All of its columns, generated ones as well, in the order in which [`super::Action::Put`] gives their values.
    pub columns: Vec<Column>,
    /// Columns that never change once a row is there and that are read from the table when it is exported.
    pub read_at_export: Vec<String>,
}

impl CapturedTable {
    /// `schema.table`, for messages.
    pub fn qualified_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

/// Something across which changes cannot be replayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Barrier {
    /// The transaction; null where only the segment is known in which it lies.
    pub xid: Option<u64>,
    /// When it happened; where that is not known, the earliest instant at which it can have.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// `schema.table`.
    pub table: String,
    /// What happened.
    pub kind: BarrierKind,
}

/// What happened to a captured table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BarrierKind {
    /// Its definition was changed: columns, key, constraints, labels of an enum, or partitions.
    DefinitionChanged,
    /// Its capture began: what was written before is not among the changes.
    CaptureBegan,
    /// Its capture ended, by release, by drop, or by its triggers being switched off: what is written after is not
    /// among the changes.
    CaptureEnded,
}

impl SegmentManifest {
    /// The file's bytes, with `content_sha256` filled in.
    pub fn to_bytes(&self) -> Vec<u8> {
        self_proof::to_bytes(&Self { content_sha256: self_proof::zeros(), ..self.clone() })
    }

    /// Reads the file of segment `id` and proves it whole.
    ///
    /// # Errors
    /// [`ChangesError::Damaged`] naming `manifest.json`; [`ChangesError::FormatUnknown`].
    pub fn from_bytes(id: &SegmentId, bytes: &[u8]) -> Result<Self, ChangesError> {
        let damaged = |reason: String| ChangesError::Damaged {
            segment_id: id.to_string(),
            damage: vec![Damage::new(MANIFEST, reason)],
        };
        self_proof::prove_whole(bytes).map_err(|reason| damaged(reason.to_owned()))?;
        #[derive(Deserialize)]
        struct Version {
            format_version: u64,
        }
        let not_one = |error: serde_json::Error| damaged(format!("it is not a segment's manifest: {error}"));
        let Version { format_version: version } = serde_json::from_slice(bytes).map_err(not_one)?;
        if version != u64::from(FORMAT_VERSION) {
            let segment_id = id.to_string();
            return Err(ChangesError::FormatUnknown { segment_id, version, known: FORMAT_VERSION });
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(not_one)?;
        manifest.prove_coherent(id).map_err(damaged)?;
        Ok(manifest)
    }

    fn prove_coherent(&self, id: &SegmentId) -> Result<(), String> {
        if self.segment_id != id.to_string() {
            return Err(format!("it belongs to segment {}", self.segment_id));
        }
        let snapshot: TransactionSnapshot = self.snapshot.parse()?;
        if self.rows != self.changes.iter().map(|part| part.rows).sum::<u64>() {
            return Err("its parts do not add up to its rows".to_owned());
        }
        let Some(previous) = &self.previous else {
            return match id.sequence() == 0 && self.rows == 0 {
                true => Ok(()),
                false => Err("it names no segment before it and is not the first of its chain".to_owned()),
            };
        };
        let before: SegmentId = previous.segment_id.parse()?;
        if before.chain() != id.chain() || before.sequence() + 1 != id.sequence() {
            return Err(format!("it does not follow segment {before}"));
        }
        if !snapshot.sees_all_of(&previous.snapshot.parse()?) {
            return Err("its snapshot does not see all that the one before it saw".to_owned());
        }
        Ok(())
    }

    /// Its name.
    ///
    /// # Panics
    /// Never for a manifest that was read: its name was compared with its folder's.
    pub fn id(&self) -> SegmentId {
        self.segment_id.parse().expect("a manifest bears its segment's name")
    }

    /// Its snapshot.
    ///
    /// # Panics
    /// Never for a manifest that was read.
    pub fn snapshot(&self) -> TransactionSnapshot {
        self.snapshot.parse().expect("a manifest has a snapshot")
    }

    /// Every object that belongs to it besides the manifest.
    pub fn objects(&self) -> impl Iterator<Item = &PartEntry> {
        self.changes.iter().chain(&self.straddling)
    }

    /// Stored bytes of its objects, without the manifest's.
    pub fn bytes_stored(&self) -> u64 {
        self.objects().map(|part| part.bytes_stored).sum()
    }
}
