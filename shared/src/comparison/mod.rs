//! Comparison: a copy against production, row by row where they differ, and by digests where they do not.
//!
//! Each database is read at one snapshot, in a transaction that only reads. Both digest every table by ranges of its keys
//! ([`ranges`]), at the same time; only the rows of ranges that are not equal are read out and laid beside each other
//! ([`rows`]). Memory does not grow with the tables, nor with how much they differ.
//!
//! Rows are compared by their text under the settings of [`crate::archive::session`]. A table without a key is compared as
//! a multiset: how many rows each side has that the other has not.

pub mod masked;
pub mod ranges;
pub mod rows;
pub mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;

use self::ranges::{digest_ranges, rows_of, unequal};
use self::rows::{Samples, compare_rows};
use self::tables::{Pair, Table, read_tables};
use crate::archive::ArchiveError;
use crate::archive::plan::OF_ONE_HISTORY;
use crate::archive::selection::TableName;
use crate::archive::session::{open_reading, run};

/// What is kept back of the invocation's time for its reply.
const REPLY_TIME: Duration = Duration::from_secs(5);

/// A copy against production.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// `equal`, `different`, or `incomplete` where the time did not suffice for every table.
    pub result: &'static str,
    /// Every table of either, or those that were asked for.
    pub tables: Vec<TableComparison>,
    /// How long it took.
    pub elapsed_seconds: f64,
}

/// One table of either.
#[derive(Debug, Clone, Serialize)]
pub struct TableComparison {
    /// As SQL writes it.
    pub table: String,
    /// `equal`, `different`, `missing in production`, `missing in copy`, or `not compared`.
    pub result: &'static str,
    /// The columns of the key that rows were matched by; empty where they were matched as a whole.
    pub key: Vec<String>,
    /// Rows in production.
    pub production_rows: Option<u64>,
    /// Rows in the copy.
    pub copy_rows: Option<u64>,
    /// Rows that only the copy has.
    pub missing_in_production: u64,
    /// Rows that only production has.
    pub missing_in_copy: u64,
    /// Rows that both have under one key, with other values.
    pub different: u64,
    /// Columns that only production has; they were not compared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns_only_in_production: Vec<String>,
    /// Columns that only the copy has; they were not compared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns_only_in_copy: Vec<String>,
    /// Some keys.
    pub samples: Samples,
}

impl TableComparison {
    fn new(table: &TableName, result: &'static str) -> Self {
        Self {
            table: table.to_string(),
            result,
            key: Vec::new(),
            production_rows: None,
            copy_rows: None,
            missing_in_production: 0,
            missing_in_copy: 0,
            different: 0,
            columns_only_in_production: Vec::new(),
            columns_only_in_copy: Vec::new(),
            samples: Samples::default(),
        }
    }
}

/// Compares a copy with production: every table, or those that are named. Without names, those whose rows belong to one
/// database alone are left out: a copy begins without them.
///
/// # Errors
/// [`ArchiveError::InvalidRequest`] for a table that neither database has; `DatabaseUnavailable`;
/// [`ArchiveError::Database`]. Where the time does not suffice the tables that are left are said to be not compared.
pub async fn compare(
    production: &PgConnectOptions,
    copy: &PgConnectOptions,
    wanted: Option<&BTreeSet<TableName>>,
    deadline: SystemTime,
) -> Result<Comparison, ArchiveError> {
    let began = Instant::now();
    let left = deadline.duration_since(SystemTime::now()).unwrap_or_default().saturating_sub(REPLY_TIME);
    let mut there = open(production, left).await?;
    let mut here = open(copy, left).await?;
    let (mut in_production, mut in_copy) = (read_tables(&mut there).await?, read_tables(&mut here).await?);
    let names = names(&in_production, &in_copy, wanted)?;
    let mut tables = Vec::new();
    let mut out_of_time = false;
    for name in &names {
        let sides = (in_production.remove(name), in_copy.remove(name));
        if out_of_time {
            tables.push(TableComparison::new(name, "not compared"));
            continue;
        }
        let work = compare_table(&mut there, &mut here, name, sides);
        let compared = tokio::time::timeout(left.saturating_sub(began.elapsed()), work).await;
        match compared {
            Ok(Ok(compared)) => tables.push(compared),
            // The server cancelled the statement: its time limit is ours.
            Ok(Err(ArchiveError::Database { reason, .. })) if reason.is("57014") => {
                out_of_time = true;
                tables.push(TableComparison::new(name, "not compared"));
            }
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                out_of_time = true;
                tables.push(TableComparison::new(name, "not compared"));
            }
        }
    }
    let result = match (out_of_time, tables.iter().all(|table| table.result == "equal")) {
        (true, _) => "incomplete",
        (false, true) => "equal",
        (false, false) => "different",
    };
    Ok(Comparison { result, tables, elapsed_seconds: began.elapsed().as_secs_f64() })
}

/// Opens a snapshot that nothing holds longer than `left`.
async fn open(options: &PgConnectOptions, left: Duration) -> Result<PgConnection, ArchiveError> {
    let mut connection = open_reading(options, None).await?;
    let limit = format!("SET LOCAL statement_timeout = {}", left.as_millis().max(1));
    run(&mut connection, "limit the time of the comparison", &limit).await?;
    Ok(connection)
}

fn names(
    production: &BTreeMap<TableName, Table>,
    copy: &BTreeMap<TableName, Table>,
    wanted: Option<&BTreeSet<TableName>>,
) -> Result<BTreeSet<TableName>, ArchiveError> {
    let all: BTreeSet<TableName> = production.keys().chain(copy.keys()).cloned().collect();
    let Some(wanted) = wanted else {
        let of_one_history =
            |name: &TableName| OF_ONE_HISTORY.contains(&(name.schema.as_str(), name.name.as_str()));
        return Ok(all.into_iter().filter(|name| !of_one_history(name)).collect());
    };
    match wanted.iter().find(|name| !all.contains(name)) {
        None => Ok(wanted.clone()),
        Some(unknown) => Err(ArchiveError::InvalidRequest(format!(
            "compare table {unknown}: neither database has it as a table of its own; name it as SQL does, and a partitioned table instead of its partitions"
        ))),
    }
}

async fn compare_table(
    there: &mut PgConnection,
    here: &mut PgConnection,
    name: &TableName,
    sides: (Option<Table>, Option<Table>),
) -> Result<TableComparison, ArchiveError> {
    let pair = match sides {
        (Some(production), Some(copy)) => Pair::new(production, copy),
        (Some(production), None) => {
            let rows = rows_of(&digest_ranges(there, &production, &[], &[]).await?);
            let known = TableComparison::new(name, "missing in copy");
            return Ok(TableComparison { production_rows: Some(rows), missing_in_copy: rows, ..known });
        }
        (None, Some(copy)) => {
            let rows = rows_of(&digest_ranges(here, &copy, &[], &[]).await?);
            let known = TableComparison::new(name, "missing in production");
            return Ok(TableComparison { copy_rows: Some(rows), missing_in_production: rows, ..known });
        }
        (None, None) => return Ok(TableComparison::new(name, "not compared")),
    };
    let (production, copy) = tokio::join!(
        digest_ranges(there, &pair.production, pair.identity(), &pair.columns),
        digest_ranges(here, &pair.copy, pair.identity(), &pair.columns),
    );
    let (production, copy) = (production?, copy?);
    let ranges = unequal(&production, &copy);
    let only_in_production = pair.columns_only_in_production();
    let only_in_copy = pair.columns_only_in_copy();
    let equal = ranges.is_empty() && only_in_production.is_empty() && only_in_copy.is_empty();
    let found = match ranges.is_empty() {
        true => rows::RowDifferences::default(),
        false => compare_rows(there, here, &pair, &ranges).await?,
    };
    Ok(TableComparison {
        key: pair.key.clone(),
        production_rows: Some(rows_of(&production)),
        copy_rows: Some(rows_of(&copy)),
        missing_in_production: found.missing_in_production,
        missing_in_copy: found.missing_in_copy,
        different: found.different,
        columns_only_in_production: only_in_production,
        columns_only_in_copy: only_in_copy,
        samples: found.samples,
        ..TableComparison::new(name, if equal { "equal" } else { "different" })
    })
}
