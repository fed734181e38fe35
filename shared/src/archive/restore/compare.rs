//! Counts and digests of a database as it is, read as a backup reads it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::super::digest::{LineDigester, TableDigest};
use super::super::encode::Flow;
use super::super::error::ArchiveError;
use super::super::manifest::Manifest;
use super::super::plan::{TablePlan, export_snapshot, plan_tables};
use super::super::read_rows::read_rows;
use super::super::schema::{SchemaSelection, Table};
use super::super::selection::Rows;
use super::super::session::open_reading;

/// Batches of rows that wait for the thread that digests them.
const WAITING: usize = 2;

/// A table of the restored database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestoredTable {
    /// `schema.table`.
    pub table: String,
    /// Rows in it.
    pub rows: u64,
    /// Whether its digest is the backup's; a restore with a `false` fails.
    pub digest_equal: bool,
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
    let queue: VecDeque<(usize, usize)> = tables
        .iter()
        .enumerate()
        .flat_map(|(table, plan)| (0..plan.parts.len()).map(move |part| (table, part)))
        .collect();
    let workers = connections.min(queue.len());
    let queue = Arc::new(Mutex::new(queue));
    let mut running: JoinSet<Result<Vec<(usize, TableDigest)>, ArchiveError>> = JoinSet::new();
    for _ in 0..workers {
        let (queue, tables, options) = (Arc::clone(&queue), Arc::clone(&tables), options.clone());
        let snapshot = snapshot_id.clone();
        running.spawn(async move {
            let mut connection = open_reading(&options, Some(&snapshot)).await?;
            let mut digests = Vec::new();
            loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let Some((table, part)) = next else { return Ok(digests) };
                digests.push((table, digest_part(&mut connection, &tables[table], part).await?));
            }
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

/// Proves that a restored database has the manifest's tables, each with its rows.
///
/// # Errors
/// [`ArchiveError::NotEqual`] naming the tables that differ.
pub(super) async fn prove_equal(
    options: &PgConnectOptions,
    database: &str,
    manifest: &Manifest,
    connections: usize,
) -> Result<Vec<RestoredTable>, ArchiveError> {
    let found = digest_database(options, &SchemaSelection::All, connections).await?;
    let tables: Vec<RestoredTable> = manifest
        .tables
        .iter()
        .map(|expected| {
            let digest = found.get(&(expected.schema.clone(), expected.name.clone()));
            RestoredTable {
                table: expected.qualified_name(),
                rows: digest.map_or(0, |digest| digest.rows),
                digest_equal: digest == Some(&expected.table_digest()),
            }
        })
        .collect();
    let different: Vec<String> = tables
        .iter()
        .zip(&manifest.tables)
        .filter(|(restored, _)| !restored.digest_equal)
        .map(|(restored, expected)| {
            format!(
                "{} has {} rows of {} or another digest",
                restored.table, restored.rows, expected.row_count
            )
        })
        .collect();
    if different.is_empty() {
        return Ok(tables);
    }
    Err(ArchiveError::NotEqual {
        database: database.to_owned(),
        backup_id: manifest.backup_id.clone(),
        difference: different.join("; "),
    })
}
