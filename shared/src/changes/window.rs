//! The statements that read the changes of one segment: what the snapshot sees and the segment before did not.

use super::definitions::Definition;
use super::manifest::CapturedTable;
use super::position::Position;
use crate::archive::session::{quote_ident, quote_literal, quote_qualified};

/// Changes are read in the order of their ids, as the primary key has them: nothing is sorted, so that days of them take
/// no room on the server.
pub(super) const IN_ORDER: &str = "
    SET LOCAL enable_sort = off;
    SET LOCAL enable_seqscan = off;
    SET LOCAL enable_bitmapscan = off;
    SET LOCAL enable_hashjoin = off;
    SET LOCAL enable_mergejoin = off;
    SET LOCAL max_parallel_workers_per_gather = 0;
";

/// The changes after a segment, as a `FROM` and a `WHERE`.
pub(super) struct Window(String);

impl Window {
    /// Those after `before`.
    pub(super) fn after(before: &Position) -> Self {
        Self(format!(
            "FROM recoup.row_changes AS c
            LEFT JOIN recoup.captured_tables AS t ON t.id = c.table_id
            WHERE c.id > {} AND NOT pg_catalog.pg_visible_in_snapshot(c.xid, {})",
            before.exported_id,
            quote_literal(&before.snapshot),
        ))
    }

    /// One row: transactions, changes, first and last time, and how many transactions have changes of several times.
    pub(super) fn count(&self) -> String {
        format!(
            "SELECT count(*) AS transactions, coalesce(sum(n), 0)::int8 AS rows, min(first_at) AS first_at,
                max(last_at) AS last_at, count(*) FILTER (WHERE first_at < last_at) AS straddling
            FROM (
                SELECT count(*) AS n, min(c.at) AS first_at, max(c.at) AS last_at {} GROUP BY c.xid
            ) AS transaction",
            self.0
        )
    }

    /// The transactions that have changes of several times.
    pub(super) fn straddling(&self) -> String {
        format!(
            "COPY (SELECT c.xid, min(c.at), max(c.at) {} GROUP BY c.xid HAVING min(c.at) < max(c.at)) TO STDOUT",
            self.0
        )
    }

    /// The changes, in order.
    pub(super) fn changes(&self, definitions: &[&Definition]) -> String {
        let completed: String = completed(definitions)
            .map(|(id, table)| {
                let row = whole_row(&table);
                format!("WHEN c.table_id = {id} AND c.operation IN ('I', 'U') THEN {row} ")
            })
            .collect();
        let row = match completed.as_str() {
            "" => "c.row_text".to_owned(),
            cases => format!("CASE {cases}ELSE c.row_text END"),
        };
        format!(
            "COPY (SELECT c.id, c.xid, c.at, c.operation, t.schema_name, t.table_name, {row} {} ORDER BY c.id) TO STDOUT",
            self.0
        )
    }

    /// How many changes lack columns that are to be read now, and whose row is gone. None where no table has such.
    pub(super) fn incomplete(&self, definitions: &[&Definition]) -> Option<String> {
        let counts: Vec<String> = completed(definitions)
            .map(|(id, table)| {
                let row_type = quote_qualified(&table.schema, &table.name);
                format!(
                    "SELECT count(*) AS n {} AND c.table_id = {id} AND c.operation IN ('I', 'U') AND NOT EXISTS (
                        SELECT FROM {row_type} AS now WHERE {})",
                    self.0,
                    same_key(&table, &format!("(c.row_text::{row_type})")),
                )
            })
            .collect();
        let union = counts.join(" UNION ALL ");
        (!counts.is_empty()).then(|| format!("SELECT coalesce(sum(n), 0)::int8 FROM ({union}) AS counted"))
    }
}

/// Tables with columns that are read at export.
fn completed(definitions: &[&Definition]) -> impl Iterator<Item = (i32, CapturedTable)> {
    definitions
        .iter()
        .map(|definition| (definition.table_id, definition.entry()))
        .filter(|(_, table)| !table.read_at_export.is_empty())
}

/// The row of a change with the columns that it lacks, from the table. Where the row is gone, a text that it lacks is
/// empty and anything else is null.
fn whole_row(table: &CapturedTable) -> String {
    let row_type = quote_qualified(&table.schema, &table.name);
    let values = table.columns.iter().map(|column| {
        let name = quote_ident(&column.name);
        match table.read_at_export.contains(&column.name) {
            false => format!("(was.row).{name}"),
            true if column.data_type == "text" => {
                format!("CASE WHEN now IS NULL THEN '' ELSE now.{name} END")
            }
            true => format!("now.{name}"),
        }
    });
    format!(
        "(SELECT ROW({})::text FROM (SELECT c.row_text::{row_type} AS row OFFSET 0) AS was
        LEFT JOIN {row_type} AS now ON {})",
        values.collect::<Vec<_>>().join(", "),
        same_key(table, "(was.row)"),
    )
}

fn same_key(table: &CapturedTable, row: &str) -> String {
    let same = table.key.iter().map(|name| format!("now.{0} = {row}.{0}", quote_ident(name)));
    same.collect::<Vec<_>>().join(" AND ")
}
