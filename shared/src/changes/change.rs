//! One change, and the line of COPY text that it is stored as.

use std::sync::Arc;

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use super::manifest::SegmentManifest;
use super::row_text::row_of;
use crate::archive::format::copy_text::{NULL, unescaped};

/// The columns of a line, in their order. `operation` is `I` or `U` with the row as it is then, `D` with the row as it
/// was, or `T` without one.
pub const COLUMNS: [&str; 7] = ["id", "xid", "at", "operation", "schema", "table", "row"];

/// The table of a change.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    /// Schema.
    pub schema: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

/// One change of one row, or of a whole table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its place: changes are replayed in the order of ids.
    pub id: i64,
    /// The transaction that made it.
    pub xid: u64,
    /// When the statement that made it had ended.
    pub at: OffsetDateTime,
    /// The table. A row that was written to a partition by its name has the partition here; one that was written to
    /// its table has the table.
    pub table: TableName,
    /// What was done.
    pub action: Action,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The row is there, and takes the place of the row with the same key where there is one. (An update of a key is
    /// a [`Action::Delete`] of the old one and a `Put`.)
    Put {
        /// The whole row as `table_row::text` under the archive's settings: cast it to the table's row type. Generated
        /// columns are in it and are not to be inserted.
        row: String,
    },
    /// The row with this key is gone, if there was one.
    Delete {
        /// `row(key columns)::text`, in the order of [`super::CapturedTable::key`].
        key: String,
    },
    /// All rows of the table are gone; of this table alone, since those that went with it have changes of their own.
    Truncate,
}

/// A timestamp as Postgres writes it with `DateStyle` ISO and `TimeZone` UTC, without its `+00`.
const INSTANT: &[BorrowedFormatItem<'static>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second][optional [.[subsecond digits:1+]]]");

/// Reads a timestamp of a stored line.
pub(super) fn parse_instant(field: &[u8]) -> Result<OffsetDateTime, &'static str> {
    let text = std::str::from_utf8(field).ok().and_then(|text| text.strip_suffix("+00"));
    text.and_then(|text| PrimitiveDateTime::parse(text, INSTANT).ok())
        .map(PrimitiveDateTime::assume_utc)
        .ok_or("has a time that Postgres does not write")
}

/// Reads a number of a stored line.
pub(super) fn parse_number<N: std::str::FromStr>(field: &[u8]) -> Result<N, &'static str> {
    let text = std::str::from_utf8(field).ok().and_then(|text| text.parse().ok());
    text.ok_or("has a number that Postgres does not write")
}

/// The tables of a segment, by name, with the positions of their keys' columns.
#[derive(Debug, Default)]
pub(super) struct Tables(Vec<(TableName, Vec<usize>)>);

impl Tables {
    /// Those that were captured at its end. (Across the end of a capture nothing is replayed.)
    pub(super) fn of(segment: &SegmentManifest) -> Self {
        let known = segment.tables.iter().map(|table| {
            let name = TableName { schema: table.schema.as_str().into(), name: table.name.as_str().into() };
            let position = |key: &String| table.columns.iter().position(|column| column.name == *key);
            (name, table.key.iter().filter_map(position).collect())
        });
        Self(known.collect())
    }

    fn find(&self, schema: &str, name: &str) -> Result<&(TableName, Vec<usize>), &'static str> {
        let is_it = |(known, _): &&(TableName, Vec<usize>)| &*known.name == name && &*known.schema == schema;
        self.0.iter().find(is_it).ok_or("is of a table that the manifest does not name")
    }
}

/// The fields of a stored line of `N` columns.
///
/// # Errors
/// Where it has more or fewer.
pub(super) fn fields<const N: usize>(line: &[u8]) -> Result<[&[u8]; N], &'static str> {
    const SHAPE: &str = "has more or fewer columns than it should";
    let mut parts = line.split(|byte| *byte == b'\t');
    let mut fields: [&[u8]; N] = [&[]; N];
    for field in &mut fields {
        *field = parts.next().ok_or(SHAPE)?;
    }
    if parts.next().is_none() { Ok(fields) } else { Err(SHAPE) }
}

/// Reads the id, the transaction and the time of a stored line.
///
/// # Errors
/// As [`parse`].
pub(super) fn place(line: &[u8]) -> Result<(i64, u64, OffsetDateTime), &'static str> {
    let [id, xid, at, ..] = fields::<{ COLUMNS.len() }>(line)?;
    Ok((parse_number(id)?, parse_number(xid)?, parse_instant(at)?))
}

/// Reads a stored line, without its newline.
///
/// # Errors
/// What is wrong with it, without its content.
pub(super) fn parse(line: &[u8], tables: &Tables) -> Result<Change, &'static str> {
    let [id, xid, at, operation, schema, table, row] = fields::<{ COLUMNS.len() }>(line)?;
    let needed = |field: &[u8]| text(field)?.ok_or("has no value where one is needed");
    let (table, key) = tables.find(&needed(schema)?, &needed(table)?)?;
    let action = match operation {
        b"I" | b"U" => Action::Put { row: needed(row)? },
        b"D" => Action::Delete { key: row_of(&needed(row)?, key)? },
        b"T" => Action::Truncate,
        _ => return Err("has an operation that is not known"),
    };
    let table = table.clone();
    Ok(Change { id: parse_number(id)?, xid: parse_number(xid)?, at: parse_instant(at)?, table, action })
}

/// The text of a field; `None` for null.
fn text(field: &[u8]) -> Result<Option<String>, &'static str> {
    if field == NULL {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        bytes.extend_from_slice(&rest[..at]);
        bytes.push(unescaped(rest.get(at + 1))?);
        rest = &rest[at + 2..];
    }
    bytes.extend_from_slice(rest);
    String::from_utf8(bytes).map(Some).map_err(|_| "is not UTF-8 text")
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn read(line: &str) -> Result<Change, &'static str> {
        let tables = [("one", vec![0]), ("Ord\\er", vec![2, 0])];
        let named = |(name, key): (&str, Vec<usize>)| {
            (TableName { schema: "my shop".into(), name: name.into() }, key)
        };
        parse(line.as_bytes(), &Tables(tables.map(named).into()))
    }

    #[test]
    fn a_line_reads_back() {
        let line = "7\t123\t2026-11-29 19:56:03.5+00\tU\tmy shop\tOrd\\\\er\t(1,\"a\\nb\",2)";
        let change = read(line).expect("a change");
        assert_eq!((change.id, change.xid, change.at), (7, 123, datetime!(2026-11-29 19:56:03.5 UTC)));
        assert_eq!((&*change.table.schema, &*change.table.name), ("my shop", "Ord\\er"));
        assert_eq!(change.action, Action::Put { row: "(1,\"a\nb\",2)".to_owned() });
        let all = read("9\t1\t2026-11-29 19:56:03+00\tT\tmy shop\tone\t\\N").expect("a change");
        assert_eq!(all.action, Action::Truncate);
    }

    #[test]
    fn what_the_export_does_not_write_is_refused() {
        for line in [
            "",
            "8\t123\t2026-11-29 19:56:03+00\tD\tmy shop\tone\t\\N",
            "8\t123\t2026-11-29 19:56:03+00\tI\tmy shop\tone\t\\N",
            "8\t123\t2026-11-29 19:56:03+01\tT\tmy shop\tone\t\\N",
            "8\t123\t2026-11-29 19:56:03+00\tQ\tmy shop\tone\t\\N",
            "8\t123\t2026-11-29 19:56:03+00\tT\tmy shop\ttwo\t\\N",
            "x\t123\t2026-11-29 19:56:03+00\tT\tmy shop\tone\t\\N",
            "8\t123\t2026-11-29 19:56:03+00\tT\tmy shop\tone",
        ] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
