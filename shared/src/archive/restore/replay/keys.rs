//! Tables that have changes, as SQL names them and their keys.

use sqlx::{PgConnection, Row};

use crate::archive::error::ArchiveError;
use crate::archive::session::{quote_ident, quote_qualified};
use crate::changes::{CapturedTable, Replay};

/// A table that has changes of its own.
#[derive(Debug, Clone)]
pub(super) struct Member {
    /// Its position in [`Replay::captured`].
    pub(super) position: usize,
    /// Its name in SQL.
    pub(super) ident: String,
    /// Whether it has rows in its partitions alone.
    pub(super) is_partitioned: bool,
    /// The columns of its key, as SQL.
    pub(super) key: Vec<String>,
    /// The columns that are stored, as SQL: generated ones compute themselves.
    pub(super) columns: Vec<String>,
}

/// Tables that share their rows: one alone, or a partitioned table with its partitions.
#[derive(Debug, Clone)]
pub(super) struct Group {
    /// The table that has all rows, in SQL.
    pub(super) root: String,
    /// Its name, for messages.
    pub(super) name: String,
    /// Columns of the key and the operator by which each is equal, as SQL.
    pub(super) key: Vec<(String, String)>,
    /// Its members that have changes.
    pub(super) members: Vec<Member>,
}

/// The groups of the tables at `positions`.
///
/// # Errors
/// [`ArchiveError::Database`]; `ChangesUnfit` for a table that the backup does not have, and for a partition that is
/// known by another key than its table.
pub(super) async fn groups(
    connection: &mut PgConnection,
    replay: &Replay,
    positions: impl Iterator<Item = usize>,
) -> Result<Vec<Group>, ArchiveError> {
    let mut groups: Vec<Group> = Vec::new();
    for position in positions {
        let Some(table) = replay.captured.get(position) else { continue };
        let ident = quote_qualified(&table.schema, &table.name);
        let operation = format!("see what table {} is", table.qualified_name());
        let rows = sqlx::query(include_str!("../sql/replayed_table.sql"))
            .bind(&ident)
            .persistent(false)
            .fetch_all(&mut *connection)
            .await
            .map_err(|error| ArchiveError::database(&operation, &error))?;
        if rows.is_empty() {
            return Err(unfit(table, "the backup has no such table"));
        }
        let ancestors: Vec<String> = rows[0].get("ancestors");
        // The topmost that is captured: a partition may be captured alone.
        let root = replay
            .captured
            .iter()
            .filter(|other| ancestors.contains(&quote_qualified(&other.schema, &other.name)))
            .max_by_key(|other| {
                ancestors.iter().position(|name| *name == quote_qualified(&other.schema, &other.name))
            })
            .unwrap_or(table);
        let same_key = |one: &CapturedTable, other: &CapturedTable| {
            one.key.len() == other.key.len() && one.key.iter().all(|column| other.key.contains(column))
        };
        if !same_key(root, table) {
            return Err(unfit(table, "it is known by another key than the table that it is a partition of"));
        }
        let operators = |column: &String| {
            let row = rows.iter().find(|row| row.get::<String, _>("name") == *column);
            (quote_ident(column), row.map_or("OPERATOR(pg_catalog.=)".to_owned(), |row| row.get("equal")))
        };
        let member = Member {
            position,
            ident,
            is_partitioned: rows[0].get("is_partitioned"),
            key: table.key.iter().map(|column| quote_ident(column)).collect(),
            columns: rows
                .iter()
                .filter(|row| row.get("is_stored"))
                .map(|row| quote_ident(&row.get::<String, _>("name")))
                .collect(),
        };
        let root_ident = quote_qualified(&root.schema, &root.name);
        match groups.iter_mut().find(|group| group.root == root_ident) {
            Some(group) => group.members.push(member),
            None => groups.push(Group {
                root: root_ident,
                name: root.qualified_name(),
                key: root.key.iter().map(operators).collect(),
                members: vec![member],
            }),
        }
    }
    Ok(groups)
}

fn unfit(table: &CapturedTable, why: &str) -> ArchiveError {
    let message = format!(
        "replay the changes of table {}: {why}; restore the full backup without them, or choose an instant that a later full backup shows",
        table.qualified_name()
    );
    crate::failure::Failure::new("ChangesUnfit", message).into()
}
