//! The rows of ranges that are not equal: both sides are read in the order of their keys' hashes and laid beside each
//! other, so that one row of each is in memory, however many there are.

use std::cmp::Ordering;

use futures::TryStreamExt;
use futures::stream::BoxStream;
use serde::Serialize;
use sqlx::{AssertSqlSafe, FromRow, PgConnection};

use super::masked::MaskedKey;
use super::ranges::range_of;
use super::tables::{Pair, Table, row_hash, row_text};
use crate::archive::ArchiveError;
use crate::archive::session::quote_ident;

/// Keys that a report shows of each kind of difference.
const SAMPLES_MAX: usize = 5;

/// How the rows of two tables differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowDifferences {
    /// Rows that only the copy has.
    pub missing_in_production: u64,
    /// Rows that only production has.
    pub missing_in_copy: u64,
    /// Rows that both have under one key, with other values.
    pub different: u64,
    /// Some of them.
    pub samples: Samples,
}

/// Keys of rows that differ, the first few of each kind; personal data is masked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Samples {
    /// Of rows that only the copy has.
    pub missing_in_production: Vec<MaskedKey>,
    /// Of rows that only production has.
    pub missing_in_copy: Vec<MaskedKey>,
    /// Of rows that both have, with other values.
    pub different: Vec<MaskedKey>,
}

/// What is read of a row. `place` and `tie` order it, `content` is the hash of all that it holds.
#[derive(Debug, Clone, FromRow)]
struct Known {
    place: i64,
    tie: String,
    content: i64,
    key: Vec<Option<String>>,
}

impl Known {
    fn compare(&self, other: &Self) -> Ordering {
        self.place.cmp(&other.place).then_with(|| self.tie.as_bytes().cmp(other.tie.as_bytes()))
    }
}

fn select(table: &Table, pair: &Pair) -> String {
    let (place, content) = (row_hash("t", pair.identity()), row_hash("t", &pair.columns));
    let text = row_text("t", pair.identity());
    // Rows without a key may be large: two of one hash are told apart by another one.
    let (tie, key) = if pair.key.is_empty() {
        (format!("pg_catalog.md5({text})"), "'{}'::text[]".to_owned())
    } else {
        let key: Vec<String> = pair.key.iter().map(|name| format!("t.{}::text", quote_ident(name))).collect();
        (text, format!("ARRAY[{}]", key.join(", ")))
    };
    format!(
        "SELECT {place} AS place, {tie} COLLATE \"C\" AS tie, {content} AS content, {key} AS key
        FROM {} AS t WHERE {} = ANY ($1) ORDER BY 1, 2",
        table.only(),
        range_of("t", pair.identity()),
    )
}

fn read<'c>(
    connection: &'c mut PgConnection,
    table: &Table,
    pair: &Pair,
    ranges: &[i64],
) -> BoxStream<'c, Result<Known, sqlx::Error>> {
    sqlx::query_as(AssertSqlSafe(select(table, pair)))
        .bind(ranges.to_vec())
        .persistent(false)
        .fetch(connection)
}

/// Compares the rows in these ranges.
///
/// # Errors
/// [`ArchiveError::Database`].
pub async fn compare_rows(
    production: &mut PgConnection,
    copy: &mut PgConnection,
    pair: &Pair,
    ranges: &[i64],
) -> Result<RowDifferences, ArchiveError> {
    let failed = |side: &str, error: &sqlx::Error| {
        ArchiveError::database(format!("read the rows of {} in {side}", pair.copy.table_name()), error)
    };
    let in_production = |error: sqlx::Error| failed("production", &error);
    let in_copy = |error: sqlx::Error| failed("the copy", &error);
    let mut there = read(production, &pair.production, pair, ranges);
    let mut here = read(copy, &pair.copy, pair, ranges);
    let mut found = RowDifferences::default();
    let mut next_there = there.try_next().await.map_err(in_production)?;
    let mut next_here = here.try_next().await.map_err(in_copy)?;
    loop {
        let order = match (&next_there, &next_here) {
            (None, None) => return Ok(found),
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(one), Some(other)) => one.compare(other),
        };
        match (order, &next_there, &next_here) {
            (Ordering::Less, Some(row), _) => {
                found.missing_in_copy += 1;
                note(&mut found.samples.missing_in_copy, pair, row);
            }
            (Ordering::Greater, _, Some(row)) => {
                found.missing_in_production += 1;
                note(&mut found.samples.missing_in_production, pair, row);
            }
            (Ordering::Equal, Some(one), Some(other)) if one.content != other.content => {
                found.different += 1;
                note(&mut found.samples.different, pair, one);
            }
            _ => {}
        }
        if order.is_le() {
            next_there = there.try_next().await.map_err(in_production)?;
        }
        if order.is_ge() {
            next_here = here.try_next().await.map_err(in_copy)?;
        }
    }
}

fn note(samples: &mut Vec<MaskedKey>, pair: &Pair, row: &Known) {
    if !pair.key.is_empty() && samples.len() < SAMPLES_MAX {
        samples.push(MaskedKey::new(&pair.key, &row.key));
    }
}
