//! Which part of a database a backup holds.
//!
//! A set and a list of tables are closed over the foreign keys in the catalog: what their rows refer to comes along,
//! so that the part restores alone. A window of time takes, of the tables asked for, the rows that were created in
//! it (`created` says how that is known), and of every table of the closure the rows that these refer to, at any
//! distance and whenever they were created. So every foreign key of a copy holds, and what is in it can be merged
//! into a database that lost it.

mod catalog;
mod closure;
mod created;
#[cfg(test)]
mod fixtures;
mod name;
mod rows;
mod window;

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;

pub use name::{TableName, near};
pub use window::Window;

use catalog::{Catalog, read_columns};
use closure::Closure;
use created::{Created, Own, Times, times};
use rows::Needed;

use super::error::ArchiveError;
use super::kind::BackupKind;
use super::manifest::{CreatedColumn, SelectionEntry, WindowEntry};
use super::schema::SchemaSelection;
use super::session::quote_qualified;
use crate::failure::Failure;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The kind.
    pub kind: BackupKind,
    /// The tables of kind `tables`; none for the others.
    pub tables: Vec<TableName>,
    /// The time whose rows are wanted; none for all rows.
    pub window: Option<Window>,
}

impl Selection {
    /// All rows of a kind that names no tables itself.
    pub fn whole(kind: BackupKind) -> Self {
        Self { kind, tables: Vec::new(), window: None }
    }
}

/// The rows of one table that a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rows {
    /// All.
    All,
    /// Those for which this SQL condition is true.
    Where(String),
}

/// What was chosen in a database.
#[derive(Debug)]
pub struct Chosen {
    /// The tables with rows, by oid.
    pub tables: BTreeMap<i64, Rows>,
    /// The partitioned tables that these belong to, as far as they were asked for.
    pub partitioned: BTreeSet<i64>,
    /// What the manifest says of it.
    pub entry: SelectionEntry,
}

/// Finds out what a selection is in this database. None means every table of the schemas with every row.
///
/// # Errors
/// [`ArchiveError::UnknownTable`]; [`ArchiveError::InvalidRequest`] for a column that cannot date rows;
/// `SchemaMissing` for a set without our tables; [`ArchiveError::Database`].
pub async fn choose(
    connection: &mut PgConnection,
    selection: &Selection,
    schemas: &SchemaSelection,
) -> Result<Option<Chosen>, ArchiveError> {
    if selection.kind == BackupKind::Full && selection.window.is_none() {
        return Ok(None);
    }
    let catalog = Catalog::read(connection).await?;
    let named = match selection.kind.set() {
        Some(set) => set_tables(&catalog, selection.kind, set)?,
        None if selection.kind == BackupKind::Full => match schemas {
            SchemaSelection::All => catalog.tables_of(None),
            SchemaSelection::Only(names) => catalog.tables_of(Some(names)),
        },
        None => {
            let tables = selection.tables.iter().map(|table| Ok(catalog.find(table)?.oid));
            tables.collect::<Result<_, ArchiveError>>()?
        }
    };
    let closure = Closure::of(&catalog, &named);
    let (tables, window) = match &selection.window {
        None => (closure.tables.iter().map(|oid| (*oid, Rows::All)).collect(), None),
        Some(window) => {
            let columns = read_columns(connection, &closure.tables).await?;
            let times = times(&catalog, &closure, &columns, window)?;
            let idents = closure.tables.iter().map(|oid| {
                let relation = catalog.relation(*oid);
                (*oid, quote_qualified(&relation.schema, &relation.name))
            });
            let needed = Needed::new(&closure, &times, window, idents.collect());
            let rows = closure
                .tables
                .iter()
                .map(|oid| (*oid, needed.condition(*oid).map_or(Rows::All, Rows::Where)));
            (rows.collect(), Some(window_entry(&catalog, &times, window)))
        }
    };
    let entry = SelectionEntry {
        tables: names(&catalog, closure.roots.iter().copied()),
        added: names(&catalog, closure.tables.difference(&closure.roots).copied()),
        window,
    };
    Ok(Some(Chosen { tables, partitioned: closure.partitioned, entry }))
}

/// Names as a request would have them, in order.
fn names(catalog: &Catalog, oids: impl Iterator<Item = i64>) -> Vec<String> {
    let names: BTreeSet<TableName> = oids.map(|oid| catalog.relation(oid).table_name()).collect();
    names.iter().map(TableName::to_string).collect()
}

fn set_tables(catalog: &Catalog, kind: BackupKind, set: &[&str]) -> Result<BTreeSet<i64>, ArchiveError> {
    let missing = |name: &str| {
        Failure::new(
            "SchemaMissing",
            format!(
                "back up the {kind}: table recoup.{name} does not exist; apply the migrations, or back up tables by name"
            ),
        )
    };
    let find = |name: &&str| {
        let table = TableName { schema: "recoup".to_owned(), name: (*name).to_owned() };
        match catalog.find(&table) {
            Ok(relation) => Ok(relation.oid),
            Err(ArchiveError::UnknownTable { .. }) => Err(missing(name).into()),
            Err(error) => Err(error),
        }
    };
    set.iter().map(find).collect()
}

/// What the manifest says of a window: how each table's rows were dated, so that a reader can tell what is in it.
fn window_entry(catalog: &Catalog, times: &Times, window: &Window) -> WindowEntry {
    let own = |wanted: Own| times.own.iter().filter(move |(_, own)| **own == wanted).map(|(oid, _)| *oid);
    let part_of_another = |oid: &i64| matches!(times.created.get(oid), Some(Created::With(_)));
    let mut created_columns: Vec<CreatedColumn> = own(Own::InWindow)
        .filter_map(|oid| match times.created.get(&oid)? {
            Created::Column(column, _) => {
                let table = catalog.relation(oid).table_name().to_string();
                Some(CreatedColumn { table, column: column.clone() })
            }
            Created::With(_) => None,
        })
        .collect();
    created_columns.sort_by(|one, other| one.table.cmp(&other.table));
    WindowEntry {
        from: window.from,
        to: window.to,
        created_columns,
        with_what_they_are_part_of: names(catalog, own(Own::InWindow).filter(part_of_another)),
        whole: names(catalog, own(Own::Whole)),
    }
}
