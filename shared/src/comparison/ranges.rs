//! Digests over ranges of keys: two numbers a range tell whether anybody has to look closer.
//!
//! A range is a range of the key's hash and not of the key. So the ranges are the same on both sides whatever the type,
//! the collation or the order of the key, and one pass over a table digests all of them, at the speed of the table's
//! disk and without an index.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt;
use sqlx::{AssertSqlSafe, PgConnection};

use super::tables::{Table, row_hash};
use crate::archive::ArchiveError;

/// The upper bits of a hash say in which of the 4,096 ranges its row is. A range of a table of ten million rows holds
/// some 2,400; all ranges of a table take some 200 KB here.
const RANGE_SHIFT: u32 = 64 - 12;

/// Which range a row is in, as SQL.
pub fn range_of(alias: &str, identity: &[String]) -> String {
    format!("({} >> {RANGE_SHIFT})", row_hash(alias, identity))
}

/// Rows of a range, and the sum of their hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeDigest {
    /// How many rows.
    pub rows: u64,
    /// The sum, which does not depend on their order.
    pub sum: String,
}

/// The ranges of a table that have rows.
pub type Ranges = BTreeMap<i64, RangeDigest>;

/// Digests a table: `identity` says in which range a row is, `columns` what of it is digested.
///
/// # Errors
/// [`ArchiveError::Database`].
pub async fn digest_ranges(
    connection: &mut PgConnection,
    table: &Table,
    identity: &[String],
    columns: &[String],
) -> Result<Ranges, ArchiveError> {
    let sql = format!(
        "SELECT {} AS range, pg_catalog.count(*), pg_catalog.sum({})::text FROM {} AS t GROUP BY 1",
        range_of("t", identity),
        row_hash("t", columns),
        table.only(),
    );
    let failed =
        |error: sqlx::Error| ArchiveError::database(format!("digest table {}", table.table_name()), &error);
    let mut found = sqlx::query_as(AssertSqlSafe(sql)).persistent(false).fetch(connection);
    let mut ranges = Ranges::new();
    while let Some((range, rows, sum)) = found.try_next().await.map_err(failed)? {
        let rows: i64 = rows;
        ranges.insert(range, RangeDigest { rows: rows.unsigned_abs(), sum });
    }
    Ok(ranges)
}

/// The rows of all ranges.
pub fn rows_of(ranges: &Ranges) -> u64 {
    ranges.values().map(|digest| digest.rows).sum()
}

/// The ranges that are not equal on both sides.
pub fn unequal(one: &Ranges, other: &Ranges) -> Vec<i64> {
    let all: BTreeSet<&i64> = one.keys().chain(other.keys()).collect();
    all.into_iter().filter(|range| one.get(range) != other.get(range)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(of: &[(i64, u64, &str)]) -> Ranges {
        of.iter()
            .map(|(range, rows, sum)| (*range, RangeDigest { rows: *rows, sum: (*sum).to_owned() }))
            .collect()
    }

    #[test]
    fn a_range_is_unequal_by_its_rows_by_its_sum_and_by_being_there() {
        let one = ranges(&[(-3, 1, "5"), (0, 2, "7"), (1, 1, "9"), (4, 1, "1")]);
        let other = ranges(&[(-3, 1, "5"), (0, 3, "7"), (1, 1, "8"), (5, 1, "1")]);
        assert_eq!(unequal(&one, &other), [0, 1, 4, 5]);
        assert_eq!(unequal(&one, &one), Vec::<i64>::new());
        assert_eq!(rows_of(&other), 6);
    }
}
