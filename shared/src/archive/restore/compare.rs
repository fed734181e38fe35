//! Counts and digests of a database as it is, read as a backup reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::ledger::{Entry, Ledger, Step, mark_as};
use super::subset::Subset;
use crate::archive::digest::{LineDigester, RowSum, TableDigest};
use crate::archive::encode::Flow;
use crate::archive::error::ArchiveError;
use crate::archive::manifest::{Manifest, TableEntry};
use crate::archive::plan::{TablePlan, export_snapshot, plan_tables};
use crate::archive::queue::Queue;
use crate::archive::read_rows::read_rows;
use crate::archive::schema::{SchemaSelection, Table};
use crate::archive::selection::Rows;
use crate::archive::session::{open_reading, run};
use crate::db;

/// Batches of rows that wait for the thread that digests them.
const WAITING: usize = 2;

/// So many bytes of tables are proven before they are marked: some seconds of work.
const BATCH_BYTES: u64 = 1 << 30;

/// A table of the restored database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestoredTable {
    /// `schema.table`.
    pub table: String,
    /// Rows in it.
    pub rows: u64,
    /// Its digest.
    pub digest: RowSum,
    /// Whether that is what it has to be: the backup's, or of the rows as they were masked. A restore with a `false`
    /// fails. Null where changes were applied, for nobody has taken a digest at that instant.
    pub digest_equal: Option<bool>,
    /// How many changes were applied that bore its name; absent where none could.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<u64>,
}

/// Reads every row of a database at one snapshot: tables as (schema, name), with count and sum.
///
/// # Errors
/// [`ArchiveError::Database`], `DatabaseUnavailable`.
pub async fn digest_database(
    options: &PgConnectOptions,
    selection: &SchemaSelection,
    connections: usize,
) -> Result<BTreeMap<(String, String), TableDigest>, ArchiveError> {
    digest_tables(options, selection, |_, _| true, connections).await
}

/// The same for the tables that are `wanted`, by schema and name.
///
/// # Errors
/// As [`digest_database`].
pub async fn digest_tables(
    options: &PgConnectOptions,
    selection: &SchemaSelection,
    wanted: impl Fn(&str, &str) -> bool,
    connections: usize,
) -> Result<BTreeMap<(String, String), TableDigest>, ArchiveError> {
    let mut holder = open_reading(options, None).await?;
    let snapshot_id = export_snapshot(&mut holder).await?.id;
    let rows = |table: &Table| wanted(&table.schema, &table.name).then_some(Rows::All);
    let tables: Arc<[TablePlan]> = plan_tables(&mut holder, selection, rows).await?.into();
    let queue: Queue<(usize, usize)> = tables
        .iter()
        .enumerate()
        .flat_map(|(table, plan)| (0..plan.parts.len()).map(move |part| (table, part)))
        .collect();
    let workers = connections.min(queue.len());
    let mut running: JoinSet<Result<Vec<(usize, TableDigest)>, ArchiveError>> = JoinSet::new();
    for _ in 0..workers {
        let (queue, tables, options) = (queue.clone(), Arc::clone(&tables), options.clone());
        let snapshot = snapshot_id.clone();
        running.spawn(async move {
            let mut connection = open_reading(&options, Some(&snapshot)).await?;
            let mut digests = Vec::new();
            while let Some((table, part)) = queue.take() {
                digests.push((table, digest_part(&mut connection, &tables[table], part).await?));
            }
            Ok(digests)
        });
    }
    let mut sums = vec![TableDigest::default(); tables.len()];
    while let Some(ended) = running.join_next().await {
        let interrupted = |_| ArchiveError::Interrupted { operation: "read the tables".to_owned() };
        for (table, digest) in ended.map_err(interrupted).flatten()? {
            sums[table].add(digest);
        }
    }
    drop(holder);
    Ok(tables.iter().map(|table| (table.schema.clone(), table.name.clone())).zip(sums).collect())
}

async fn digest_part(
    connection: &mut PgConnection,
    table: &TablePlan,
    part: usize,
) -> Result<TableDigest, ArchiveError> {
    let name = table.qualified_name();
    let interrupted = || ArchiveError::Interrupted { operation: format!("read table {name}") };
    let (batches_in, mut batches_out) = mpsc::channel(WAITING);
    let columns = table.columns.len();
    let digester = tokio::task::spawn_blocking(move || {
        let mut lines = LineDigester::new(columns);
        loop {
            match batches_out.blocking_recv() {
                Some(Flow::Chunk(batch)) => {
                    let batch: Vec<u8> = batch;
                    lines.update(&batch).ok()?;
                }
                Some(Flow::End) => return lines.finish().ok(),
                None => return None,
            }
        }
    });
    let sql = table.copy_out_sql(table.parts[part]);
    let (read, digest) = tokio::join!(read_rows(connection, &name, &sql, batches_in, |_, _| ()), digester);
    read?;
    digest.ok().flatten().ok_or_else(interrupted)
}

/// What a restored database has to hold.
pub(super) struct Expected<'a> {
    /// How to connect to it.
    pub(super) options: &'a PgConnectOptions,
    /// Its name.
    pub(super) database: &'a str,
    /// The backup.
    pub(super) manifest: &'a Manifest,
    /// What was done: how rows were masked, and which tables were proven.
    pub(super) ledger: &'a Ledger,
    /// The tables that are wanted; none for all.
    pub(super) subset: Option<&'a Subset>,
    /// The tables whose rows are others than the backup's, because changes were applied: how many to each.
    pub(super) changed: &'a BTreeMap<String, u64>,
    /// How many connections read.
    pub(super) connections: usize,
}

impl Expected<'_> {
    fn restored(&self, table: String, digest: TableDigest) -> RestoredTable {
        let changes = self.changed.get(&table).copied();
        let digest_equal = changes.is_none().then_some(true);
        RestoredTable { table, rows: digest.rows, digest: digest.sum, digest_equal, changes }
    }

    /// The rows that a table has to have: the backup's, or what masking made of them.
    fn digest(&self, table: &TableEntry) -> TableDigest {
        let mut masked = TableDigest::default();
        for part in &table.parts {
            match self.ledger.get(Step::Part, &part.key).and_then(|entry| entry.digest) {
                Some(digest) => masked.add(digest),
                None => return table.table_digest(),
            }
        }
        masked
    }
}

/// Proves that a restored database has its tables, each with its rows. Tables are marked as they are proven, so that
/// the proof too may take several invocations.
///
/// # Errors
/// [`ArchiveError::NotEqual`] naming the tables that differ.
pub(super) async fn prove_equal(expected: &Expected<'_>) -> Result<Vec<RestoredTable>, ArchiveError> {
    let mut proven = Vec::new();
    let mut different = Vec::new();
    let mut connection = db::connect(expected.options).await?;
    for batch in batches(expected) {
        let of_batch: BTreeSet<(&str, &str)> =
            batch.iter().map(|table| (table.schema.as_str(), table.name.as_str())).collect();
        let wanted = |schema: &str, name: &str| of_batch.contains(&(schema, name));
        let found =
            digest_tables(expected.options, &SchemaSelection::All, wanted, expected.connections).await?;
        let mut marks = String::new();
        for table in batch {
            let name = table.qualified_name();
            let should = expected.digest(table);
            let digest = found.get(&(table.schema.clone(), table.name.clone())).copied();
            match digest {
                Some(digest) if digest == should || expected.changed.contains_key(&name) => {
                    let entry = Entry { note: None, digest: Some(digest) };
                    marks.push_str(&mark_as(Step::Proven, &name, &entry));
                    proven.push(expected.restored(name, digest));
                }
                _ => {
                    let rows = digest.map_or(0, |digest| digest.rows);
                    different.push(format!("{name} has {rows} rows of {} or another digest", should.rows));
                }
            }
        }
        run(&mut connection, "mark the tables that are proven", &marks).await?;
    }
    if !different.is_empty() {
        return Err(ArchiveError::NotEqual {
            database: expected.database.to_owned(),
            backup_id: expected.manifest.backup_id.clone(),
            difference: different.join("; "),
        });
    }
    let before = expected
        .ledger
        .of(Step::Proven)
        .filter_map(|(table, entry)| Some(expected.restored(table.to_owned(), entry.digest?)));
    proven.extend(before);
    proven.sort_by(|one, other| one.table.cmp(&other.table));
    Ok(proven)
}

/// The tables that are not proven yet, as many at a time as have some bytes together.
fn batches<'a>(expected: &Expected<'a>) -> Vec<Vec<&'a TableEntry>> {
    let mut batches = vec![Vec::new()];
    let mut bytes = 0;
    for table in &expected.manifest.tables {
        let is_wanted = expected.subset.is_none_or(|subset| subset.has(&table.schema, &table.name));
        if !is_wanted || expected.ledger.has(Step::Proven, &table.qualified_name()) {
            continue;
        }
        if bytes > BATCH_BYTES {
            batches.push(Vec::new());
            bytes = 0;
        }
        bytes += table.parts.iter().map(|part| part.bytes_raw).sum::<u64>();
        batches.last_mut().expect("one is there").push(table);
    }
    batches.retain(|batch| !batch.is_empty());
    batches
}
