//! One change, and the line of COPY text that it is stored as.

use std::sync::Arc;

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use crate::archive::format::copy_text::{NULL, unescaped};

/// The columns of a line, in their order. `operation` is `I`, `U`, `D`, `T`, or a barrier's `X`, `Z`, `C`, `R`.
pub const COLUMNS: [&str; 8] = ["id", "xid", "at", "operation", "schema", "table", "row", "key"];

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

/// Names of tables, each kept once however many changes bear it.
#[derive(Debug, Default)]
pub(super) struct Names(std::collections::HashSet<Arc<str>>);

impl Names {
    fn keep(&mut self, text: String) -> Arc<str> {
        if let Some(known) = self.0.get(text.as_str()) {
            return Arc::clone(known);
        }
        let kept: Arc<str> = text.into();
        self.0.insert(Arc::clone(&kept));
        kept
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

/// Reads a stored line, without its newline. `None` for a barrier, which says nothing about rows.
///
/// # Errors
/// What is wrong with it, without its content.
pub(super) fn parse(line: &[u8], names: &mut Names) -> Result<Option<Change>, &'static str> {
    let fields = fields::<{ COLUMNS.len() }>(line)?;
    let [id, xid, at, operation, schema, table, row, key] = fields;
    let needed = |field: &[u8], missing: &'static str| text(field)?.ok_or(missing);
    let action = match operation {
        b"I" | b"U" => Action::Put { row: needed(row, "puts no row")? },
        b"D" => Action::Delete { key: needed(key, "deletes without a key")? },
        b"T" => Action::Truncate,
        b"X" | b"Z" | b"C" | b"R" => return Ok(None),
        _ => return Err("has an operation that is not known"),
    };
    let table = TableName {
        schema: names.keep(needed(schema, "names no schema")?),
        name: names.keep(needed(table, "names no table")?),
    };
    Ok(Some(Change { id: parse_number(id)?, xid: parse_number(xid)?, at: parse_instant(at)?, table, action }))
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

    fn read(line: &str) -> Result<Option<Change>, &'static str> {
        parse(line.as_bytes(), &mut Names::default())
    }

    #[test]
    fn a_line_reads_back() {
        let line = "7\t123\t2026-11-29 19:56:03.5+00\tU\tmy shop\tOrd\\\\er\t(1,\"a\\nb\")\t\\N";
        let change = read(line).expect("a line").expect("a change");
        assert_eq!((change.id, change.xid, change.at), (7, 123, datetime!(2026-11-29 19:56:03.5 UTC)));
        assert_eq!((&*change.table.schema, &*change.table.name), ("my shop", "Ord\\er"));
        assert_eq!(change.action, Action::Put { row: "(1,\"a\nb\")".to_owned() });
        let gone = read("8\t123\t2026-11-29 19:56:03+00\tD\tpublic\tt\t\\N\t(1)").expect("a line");
        assert_eq!(gone.expect("a change").action, Action::Delete { key: "(1)".to_owned() });
        assert_eq!(read("9\t1\t2026-11-29 19:56:03+00\tX\tpublic\tt\t\\N\t\\N"), Ok(None));
    }

    #[test]
    fn what_the_export_does_not_write_is_refused() {
        for line in [
            "",
            "8\t123\t2026-11-29 19:56:03+00\tD\tpublic\tt\t\\N\t\\N",
            "8\t123\t2026-11-29 19:56:03+00\tI\tpublic\tt\t\\N\t(1)",
            "8\t123\t2026-11-29 19:56:03+01\tT\tpublic\tt\t\\N\t\\N",
            "8\t123\t2026-11-29 19:56:03+00\tQ\tpublic\tt\t\\N\t\\N",
            "x\t123\t2026-11-29 19:56:03+00\tT\tpublic\tt\t\\N\t\\N",
            "8\t123\t2026-11-29 19:56:03+00\tT\tpublic\tt\t\\N",
        ] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
