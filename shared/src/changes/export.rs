//! Exports what changed: one segment a run.
//!
//! # Crashes, and two runs at once
//!
//! A lock of the database keeps runs apart. Objects with changes go up first; then the row in `recoup.change_segments`
//! is committed; then the manifest is stored, and the row is marked. A run that ends in between leaves objects that no
//! manifest names, or a row that the next run settles by looking into the bucket. A run whose lock was lost with its
//! connection stores no manifest.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use sqlx::postgres::PgConnectOptions;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;

use super::change::COLUMNS;
use super::definitions::{self, Before, Definition};
use super::error::ChangesError;
use super::manifest::{FORMAT_VERSION, MANIFEST, Previous, SegmentManifest};
use super::moment::{Moment, current_snapshot, keep_names, moment};
use super::names::{ChainId, SegmentId};
use super::position::{Position, Standing, database_identity, find, mark_sealed};
use super::removal::remove_exported;
use super::snapshot::TransactionSnapshot;
use super::stream::{STRADDLING_COLUMNS, columns};
use super::uncaptured::{Uncaptured, uncaptured};
use super::window::{IN_ORDER, Window};
use crate::archive::ArchiveError;
use crate::archive::encode::ZSTD_LEVEL;
use crate::archive::encryption::Encryption;
use crate::archive::format::TableFormat;
use crate::archive::manifest::{PartEntry, self_proof};
use crate::archive::part::{RowsToStore, Sink};
use crate::archive::scheduled::claim;
use crate::archive::schema::SchemaSelection;
use crate::archive::session::{TEXT_SETTINGS, open_reading, run};
use crate::archive::stop::Stop;
use crate::archive::store::{ObjectStore, OpenUploads};
use crate::db;

/// The second number of the lock that keeps exports apart (`CHNG` in ASCII).
const LOCK: u32 = 0x4348_4e47;

/// What is kept back of the invocation's time to give up cleanly.
const CLEAN_UP_TIME: Duration = Duration::from_secs(10);

/// Whose changes go where.
pub struct Exporter<S> {
    /// The database.
    pub options: PgConnectOptions,
    /// The bucket.
    pub store: Arc<S>,
    /// To whom they are encrypted.
    pub encryption: Encryption,
    /// The schemas whose tables are to be captured.
    pub schemas: SchemaSelection,
    /// For how long exported changes stay in the database.
    pub keep: time::Duration,
}

/// What came of it.
pub enum Exported {
    /// A segment.
    Made(Box<ExportMade>),
    /// Another run is at work.
    Running,
}

/// A segment that stands in the bucket.
pub struct ExportMade {
    /// Its manifest.
    pub manifest: SegmentManifest,
    /// Bytes of all its objects.
    pub file_size_bytes: u64,
    /// Why it begins a chain, where it does.
    pub chain_began: Option<String>,
    /// Tables whose changes are not captured.
    pub uncaptured: Vec<Uncaptured>,
    /// Exported changes that left the database.
    pub rows_removed: u64,
    /// What went wrong beside it.
    pub warnings: Vec<String>,
}

#[derive(Debug, FromRow)]
struct Counts {
    transactions: i64,
    rows: i64,
    first_at: Option<OffsetDateTime>,
    last_at: Option<OffsetDateTime>,
    straddling: i64,
}

fn failed(operation: &'static str) -> impl Fn(sqlx::Error) -> ArchiveError {
    move |error| ArchiveError::database(operation, &error)
}

impl<S: ObjectStore> Exporter<S> {
    /// Exports what the database shows now and the segment before did not.
    ///
    /// # Errors
    /// [`ArchiveError`]. Then no manifest stands for what was begun, and the next run exports the same.
    pub async fn export(&self, deadline: SystemTime) -> Result<Exported, ArchiveError> {
        let uploads = OpenUploads::default();
        let time_left =
            deadline.duration_since(SystemTime::now()).unwrap_or_default().saturating_sub(CLEAN_UP_TIME);
        let work = Box::pin(self.run(&uploads, SystemTime::now() + time_left));
        let exported = match tokio::time::timeout(time_left, work).await {
            Ok(exported) => exported.map_err(ArchiveError::from),
            Err(_) => Err(ArchiveError::TimeLimit { operation: "export the changes" }),
        };
        if exported.is_err() {
            // What is not given up here, the bucket's lifecycle rule ends.
            let giving_up = uploads.abort_all(&*self.store);
            let _ = tokio::time::timeout(CLEAN_UP_TIME / 2, giving_up).await;
        }
        exported
    }

    async fn run(&self, uploads: &OpenUploads, until: SystemTime) -> Result<Exported, ChangesError> {
        // The lock is its transaction's, which sees nothing and holds back nothing: a pooler keeps it together.
        let mut lock = db::connect(&self.options).await.map_err(ArchiveError::from)?;
        run(&mut lock, "begin to export", "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '20min'")
            .await?;
        if !claim(&mut lock, LOCK).await? {
            return Ok(Exported::Running);
        }
        let mut state = db::connect(&self.options).await.map_err(ArchiveError::from)?;
        keep_names(&mut state).await?;
        let database = database_identity(&mut state).await?;
        let standing = Box::pin(find(&mut state, &*self.store, &database)).await?;
        let moment = moment(&mut state).await?;
        let (manifest, chain_began) = match standing {
            Standing::Begins(reason) => {
                tracing::warn!(reason, "a new chain of changes begins");
                (Box::pin(self.begin(&mut state, moment, &database)).await?, Some(reason))
            }
            Standing::GoesOn(position) => {
                let extending = self.extend(&mut lock, &mut state, uploads, *position, moment, &database);
                (Box::pin(extending).await?, None)
            }
        };
        let id = manifest.id();
        let bytes = manifest.to_bytes();
        let file_size_bytes = manifest.bytes_stored() + bytes.len() as u64;
        let sha256 = Sha256::digest(&bytes).into();
        self.store.put_new(&id.key(MANIFEST), Bytes::from(bytes), sha256).await?;

        // From here on the segment stands, whatever happens.
        let mut warnings = Vec::new();
        let marked = mark_sealed(&mut state, &id).await;
        warnings.extend(marked.err().map(|error| error.to_string()));
        let removed = remove_exported(&mut state, id.chain(), self.keep, until).await;
        let rows_removed = removed.unwrap_or_else(|error| {
            warnings.push(error.to_string());
            0
        });
        let uncaptured = uncaptured(&mut state, &self.schemas).await.unwrap_or_else(|error| {
            warnings.push(error.to_string());
            Vec::new()
        });
        let made = ExportMade { manifest, file_size_bytes, chain_began, uncaptured, rows_removed, warnings };
        Ok(Exported::Made(Box::new(made)))
    }

    /// Begins a chain: its first segment holds nothing, and what was captured before counts no more.
    async fn begin(
        &self,
        state: &mut PgConnection,
        moment: Moment,
        database: &str,
    ) -> Result<SegmentManifest, ChangesError> {
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ; {TEXT_SETTINGS} SET LOCAL synchronous_commit = on;"
        );
        run(state, "begin a chain of changes", &begin).await?;
        let snapshot = current_snapshot(state).await?;
        let definitions = definitions::read(state).await?;
        // Whoever writes at this moment is not seen by the snapshot, and neither are its changes.
        run(state, "forget the changes before the chain", "DELETE FROM recoup.row_changes").await?;
        let id =
            SegmentId::new(ChainId::new(moment.taken_at, rand::random()), 0, moment.taken_at, rand::random());
        let manifest = self.manifest(&id, None, snapshot, &moment, &definitions);
        write_down(state, &manifest, &moment, database, &definitions).await?;
        run(state, "begin a chain of changes", "COMMIT").await?;
        Ok(manifest)
    }

    /// Stores the changes after `before`.
    async fn extend(
        &self,
        lock: &mut PgConnection,
        state: &mut PgConnection,
        uploads: &OpenUploads,
        before: Position,
        moment: Moment,
        database: &str,
    ) -> Result<SegmentManifest, ChangesError> {
        let mut reader = open_reading(&self.options, None).await?;
        run(&mut reader, "begin to read the changes", IN_ORDER).await?;
        let snapshot = current_snapshot(&mut reader).await?;
        let seen: TransactionSnapshot = snapshot.parse().map_err(ArchiveError::InvalidRequest)?;
        let definitions = definitions::read(&mut reader).await?;
        let window = Window::after(&before);
        let counts: Counts = sqlx::query_as(sqlx::AssertSqlSafe(window.count()))
            .persistent(false)
            .fetch_one(&mut reader)
            .await
            .map_err(failed("count the changes"))?;
        let id = SegmentId::new(
            before.id.chain().clone(),
            before.id.sequence() + 1,
            moment.taken_at,
            rand::random(),
        );
        let previous_snapshot: TransactionSnapshot =
            before.snapshot.parse().map_err(ArchiveError::InvalidRequest)?;
        let previous = Previous {
            segment_id: before.id.to_string(),
            content_sha256: before.content_sha256,
            snapshot: before.snapshot,
            taken_at: before.taken_at,
        };
        let mut manifest = self.manifest(&id, Some(previous), snapshot, &moment, &definitions);
        let since = Before {
            definitions: &before.definitions,
            snapshot: &previous_snapshot,
            taken_at: before.taken_at,
        };
        manifest.barriers = definitions::barriers(&definitions, &seen, &since);
        manifest.transactions = counts.transactions.cast_unsigned();
        (manifest.first_at, manifest.last_at) = (counts.first_at, counts.last_at);
        if counts.rows > 0 {
            let objects = Objects { exporter: self, uploads, id: &id };
            // Of a table that was altered there may be changes with other columns than it has now.
            let unchanged = definitions::unchanged(&definitions, &before.definitions);
            let changes = window.changes(&unchanged);
            manifest.changes.push(objects.store(&mut reader, "changes", &changes, &COLUMNS).await?);
            if counts.straddling > 0 {
                let sql = window.straddling();
                let stored = objects.store(&mut reader, "transactions", &sql, &STRADDLING_COLUMNS).await?;
                manifest.straddling.push(stored);
            }
            if let Some(sql) = window.incomplete(&unchanged) {
                let incomplete: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
                    .persistent(false)
                    .fetch_one(&mut reader)
                    .await
                    .map_err(failed("count the changes whose rows are gone"))?;
                manifest.rows_incomplete = incomplete.cast_unsigned();
            }
        }
        manifest.rows = manifest.changes.iter().map(|part| part.rows).sum();
        drop(reader);
        // Whoever has lost the lock may be followed by another run already.
        run(lock, "keep the lock of exports", "SELECT 1").await?;
        run(state, "write the segment down", "BEGIN; SET LOCAL synchronous_commit = on").await?;
        write_down(state, &manifest, &moment, database, &definitions).await?;
        run(state, "write the segment down", "COMMIT").await?;
        Ok(manifest)
    }

    fn manifest(
        &self,
        id: &SegmentId,
        previous: Option<Previous>,
        snapshot: String,
        moment: &Moment,
        definitions: &[Definition],
    ) -> SegmentManifest {
        SegmentManifest {
            format_version: FORMAT_VERSION,
            segment_id: id.to_string(),
            previous,
            recoup_version: env!("CARGO_PKG_VERSION").to_owned(),
            postgres_version: moment.postgres_version,
            database: moment.database.clone(),
            snapshot,
            taken_at: moment.taken_at,
            tables: definitions.iter().map(Definition::entry).collect(),
            barriers: Vec::new(),
            transactions: 0,
            rows: 0,
            rows_incomplete: 0,
            first_at: None,
            last_at: None,
            changes: Vec::new(),
            straddling: Vec::new(),
            compression: "zstd".to_owned(),
            encryption: self.encryption.describe(),
            content_sha256: String::new(),
        }
    }
}

/// The objects of one segment.
struct Objects<'o, S> {
    exporter: &'o Exporter<S>,
    uploads: &'o OpenUploads,
    id: &'o SegmentId,
}

impl<S: ObjectStore> Objects<'_, S> {
    async fn store(
        &self,
        reader: &mut PgConnection,
        folder: &str,
        sql: &str,
        names: &[&str],
    ) -> Result<PartEntry, ArchiveError> {
        let encryption = &self.exporter.encryption;
        let key = format!("{folder}/00000.copy.zst{}", encryption.suffix());
        let sink = Sink {
            store: &*self.exporter.store,
            uploads: self.uploads,
            zstd_level: ZSTD_LEVEL,
            encryption,
            stop: &Stop::default(),
        };
        let rows = RowsToStore {
            name: "recoup.row_changes",
            sql,
            columns: names.len(),
            encoder: TableFormat::Copy.encoder(&columns(names)),
        };
        let stored = sink.store_rows(reader, &self.id.key(&key), rows, |_, _| ()).await?;
        Ok(stored.entry(key))
    }
}

/// Writes the segment down, before its manifest is stored.
async fn write_down(
    state: &mut PgConnection,
    manifest: &SegmentManifest,
    moment: &Moment,
    database: &str,
    definitions: &[Definition],
) -> Result<(), ArchiveError> {
    let id = manifest.id();
    let bytes = manifest.to_bytes();
    let count = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    sqlx::query(
        "INSERT INTO recoup.change_segments (
            segment_id, chain, sequence, status, snapshot, taken_at, last_id, content_sha256, row_count,
            file_size_bytes, database, definitions
        ) VALUES ($1, $2, $3, 'pending', $4::pg_snapshot, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(id.to_string())
    .bind(id.chain().to_string())
    .bind(count(id.sequence()))
    .bind(&manifest.snapshot)
    .bind(manifest.taken_at)
    .bind(moment.last_id)
    .bind(self_proof::content_sha256(&bytes).unwrap_or_default())
    .bind(count(manifest.rows))
    .bind(count(manifest.bytes_stored() + bytes.len() as u64))
    .bind(database)
    .bind(Json(definitions::keep(definitions)))
    .persistent(false)
    .execute(state)
    .await
    .map_err(failed("write the segment down"))?;
    Ok(())
}
