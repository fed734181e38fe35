//! `manifest.json`: what a backup holds, written last. A backup exists when its manifest does.
//!
//! The document is plain JSON (names, counts and digests; no row) and strict: a field that is not known
//! is an error, and `format_version` says which reader it needs. `docs/manifest.schema.json` describes it.
//! Its last field, `content_sha256`, is the SHA-256 of the file's own bytes with these 64 digits replaced
//! by zeros, so that any changed byte of the manifest itself is found:
//!
//! ```sh
//! sed -E 's/("content_sha256": ")[0-9a-f]{64}/\1'$(printf '0%.0s' {1..64})'/' manifest.json | sha256sum
//! ```

mod file;
mod promises;
pub mod self_proof;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::digest::{RowSum, TableDigest};
use super::format::TableFormat;
use super::schema::{ObjectKind, Phase};
use super::store::CompositeSha256;

pub use promises::Promise;

/// The format that this version writes. Since 2 a part that went up in pieces says what the store keeps of it.
pub const FORMAT_VERSION: u32 = 2;

/// The oldest format that this version reads.
pub const FORMAT_VERSION_OLDEST: u32 = 1;

/// The manifest's own name in the backup's folder.
pub const MANIFEST: &str = "manifest.json";

/// A manifest of a hundred thousand parts is some 50 MB; more is not a manifest.
pub const MANIFEST_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Everything that is known about a backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Which reader it needs.
    pub format_version: u32,
    /// The backup's name, equal to its folder's.
    pub backup_id: String,
    /// `full`, `payments`, `orders`, `tickets` or `tables`.
    pub backup_type: String,
    /// Whether it holds only the rows of a window, with what these refer to: it can be merged into a database, and
    /// never takes one's place.
    pub partial: bool,
    /// What the operator called it.
    pub label: Option<String>,
    /// Version of the writer.
    pub recoup_version: String,
    /// Postgres' `server_version_num`, for example 150018.
    pub postgres_version: i32,
    /// What the new database needs to be created alike.
    pub database: DatabaseTraits,
    /// The schemas that were asked for; empty for all but Postgres' own.
    pub schemas: Vec<String>,
    /// Which part of the database it is; null for all of these schemas.
    pub selection: Option<SelectionEntry>,
    /// The instant that the backup shows.
    pub snapshot: Snapshot,
    /// From where on changes lead away from that instant; null where none are exported, and for a part of a database.
    pub changes: Option<ChangesLink>,
    /// When the work began.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// When the last part was stored.
    #[serde(with = "time::serde::rfc3339")]
    pub finished_at: OffsetDateTime,
    /// From when on it may be pruned.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    /// How rows are stored.
    pub table_format: TableFormat,
    /// How parts are compressed: always `zstd` in this version.
    pub compression: String,
    /// Who can open it.
    pub encryption: Encryption,
    /// Definitions, as SQL.
    pub schema: SchemaEntry,
    /// How to restore by hand.
    pub instructions: StoredObject,
    /// The empty object whose name carries the summary for listings.
    pub summary: StoredObject,
    /// Every table, by schema and name.
    pub tables: Vec<TableEntry>,
    /// Every sequence, with its value.
    pub sequences: Vec<SequenceEntry>,
    /// What the database has that this backup does not carry.
    pub unsupported: Vec<String>,
    /// Sums over all tables.
    pub totals: Totals,
    /// SHA-256 of this file with these digits as zeros.
    pub content_sha256: String,
}

/// Which part of a database a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelectionEntry {
    /// The tables that were asked for, as a request would name them; partitions stand for their table.
    pub tables: Vec<String>,
    /// The tables that came along because foreign keys lead to them.
    pub added: Vec<String>,
    /// The time whose rows it holds; null for all rows.
    pub window: Option<WindowEntry>,
}

/// The window of a partial backup, and how rows were dated. A table of the selection that is in none of the lists
/// gave only rows that others refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowEntry {
    /// The first instant that belongs to it.
    #[serde(with = "time::serde::rfc3339")]
    pub from: OffsetDateTime,
    /// The first instant after it.
    #[serde(with = "time::serde::rfc3339")]
    pub to: OffsetDateTime,
    /// Tables whose rows a column dates.
    pub created_columns: Vec<CreatedColumn>,
    /// Tables whose rows are as old as the row that they are a part of.
    pub with_what_they_are_part_of: Vec<String>,
    /// Tables whose rows nothing dates, and which are here whole.
    pub whole: Vec<String>,
}

/// The column that dates a table's rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreatedColumn {
    /// The table, as a request would name it.
    pub table: String,
    /// Its column.
    pub column: String,
}

/// How the database was created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseTraits {
    /// Its name.
    pub name: String,
    /// `UTF8`, nearly always.
    pub encoding: String,
    /// `libc`, `icu` or `builtin`.
    pub locale_provider: String,
    /// `LC_COLLATE`.
    pub collate: String,
    /// `LC_CTYPE`.
    pub ctype: String,
    /// The locale of the ICU or built-in provider.
    pub locale: Option<String>,
    /// Tailoring of the ICU locale.
    pub icu_rules: Option<String>,
}

/// The instant that a backup shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Name of the exported snapshot.
    pub id: String,
    /// `pg_current_snapshot()`: which transactions it sees.
    pub transactions: String,
    /// Position in the write-ahead log, where the server tells it.
    pub lsn: Option<String>,
    /// Time on the server.
    #[serde(with = "time::serde::rfc3339")]
    pub taken_at: OffsetDateTime,
}

/// The chain of changes that a full backup belongs to, as its snapshot shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangesLink {
    /// The newest segment: the backup has all that it and those before it hold, and replay begins with the next.
    pub segment_id: String,
}

/// Whether and to whom objects are encrypted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encryption {
    /// `age-x25519` or `none`.
    pub method: String,
    /// age recipients (`age1…`).
    pub recipients: Vec<String>,
}

/// One object of the folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredObject {
    /// Key inside the backup's folder.
    pub key: String,
    /// Size before compression and encryption.
    pub bytes_raw: u64,
    /// Size as stored.
    pub bytes_stored: u64,
    /// SHA-256 of the stored bytes, in hex.
    pub sha256: String,
}

/// The object with the definitions, and where each statement lies in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchemaEntry {
    /// The object.
    pub object: StoredObject,
    /// Its statements in order.
    pub statements: Vec<StatementEntry>,
}

/// One statement of the definitions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatementEntry {
    /// When it is run.
    pub phase: Phase,
    /// The sort of object, for messages.
    pub kind: ObjectKind,
    /// The object, for messages.
    pub name: String,
    /// The table that it locks; two statements on one table gain nothing from running together.
    pub table: Option<String>,
    /// Positions in this list of statements of the same phase that must have ended before.
    pub after: Vec<usize>,
    /// First byte in the decrypted object.
    pub offset: u64,
    /// Length in bytes.
    pub bytes: u64,
}

impl StatementEntry {
    /// Where it lies in the decrypted object.
    pub fn range(&self) -> std::ops::Range<usize> {
        // An offset that no memory holds finds nothing, and that is reported.
        let at = |position: u64| usize::try_from(position).unwrap_or(usize::MAX);
        at(self.offset)..at(self.offset.saturating_add(self.bytes))
    }
}

/// One table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableEntry {
    /// Schema.
    pub schema: String,
    /// Table.
    pub name: String,
    /// The columns that are stored, in their order in each line. Generated columns are not: Postgres
    /// computes them again.
    pub columns: Vec<Column>,
    /// Rows in all parts.
    pub row_count: u64,
    /// The order-independent digest (see [`super::digest`]).
    pub digest: RowSum,
    /// Its parts, in the table's physical order. A table that occupies no page has none.
    pub parts: Vec<PartEntry>,
}

impl TableEntry {
    /// `schema.table`, for messages.
    pub fn qualified_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// Count and sum of all its rows.
    pub fn table_digest(&self) -> TableDigest {
        TableDigest { rows: self.row_count, sum: self.digest }
    }
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Name.
    pub name: String,
    /// Type as `format_type` writes it.
    #[serde(rename = "type")]
    pub data_type: String,
}

/// One part of a table: an object with a range of its rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartEntry {
    /// Key inside the backup's folder.
    pub key: String,
    /// Rows in it.
    pub rows: u64,
    /// Digest of these rows.
    pub digest: RowSum,
    /// Size in the backup's format, before compression and encryption.
    pub bytes_raw: u64,
    /// Size as stored.
    pub bytes_stored: u64,
    /// SHA-256 of the stored bytes, in hex.
    pub sha256: String,
    /// What the store keeps of an object that went up in pieces; absent where it went up in one request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub composite_sha256: Option<CompositeSha256>,
}

impl PartEntry {
    /// Count and sum of its rows.
    pub fn table_digest(&self) -> TableDigest {
        TableDigest { rows: self.rows, sum: self.digest }
    }
}

/// One sequence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SequenceEntry {
    /// Schema.
    pub schema: String,
    /// Sequence.
    pub name: String,
    /// `last_value`.
    pub last_value: i64,
    /// Whether `last_value` was handed out already.
    pub is_called: bool,
}

/// Sums over all tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// Tables.
    pub tables: u64,
    /// Rows.
    pub rows: u64,
    /// Parts.
    pub parts: u64,
    /// Bytes of rows before compression and encryption.
    pub bytes_raw: u64,
    /// Bytes of all stored objects but the manifest.
    pub bytes_stored: u64,
}

impl Manifest {
    /// Bytes of all stored objects, the manifest among them: what a listing of the folder adds up to.
    pub fn file_size_bytes(&self) -> u64 {
        self.totals.bytes_stored + self.to_bytes().len() as u64
    }

    /// Whether it is a copy of everything, fit to take a database's place.
    pub fn is_everything(&self) -> bool {
        self.selection.is_none()
    }

    /// The window of a partial backup.
    pub fn window(&self) -> Option<&WindowEntry> {
        self.selection.as_ref()?.window.as_ref()
    }

    /// The sums as the entries say.
    pub fn sum_totals(&self) -> Totals {
        let mut totals = Totals { tables: self.tables.len() as u64, ..Totals::default() };
        totals.bytes_stored =
            self.schema.object.bytes_stored + self.instructions.bytes_stored + self.summary.bytes_stored;
        for table in &self.tables {
            totals.rows += table.row_count;
            totals.parts += table.parts.len() as u64;
            totals.bytes_raw += table.parts.iter().map(|part| part.bytes_raw).sum::<u64>();
            totals.bytes_stored += table.parts.iter().map(|part| part.bytes_stored).sum::<u64>();
        }
        totals
    }

    /// The first statement that does not lie within the definitions `sql`.
    pub fn statement_outside(&self, sql: &str) -> Option<&str> {
        let outside = self.schema.statements.iter().find(|statement| sql.get(statement.range()).is_none());
        outside.map(|statement| statement.name.as_str())
    }
}
