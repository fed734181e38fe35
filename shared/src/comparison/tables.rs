//! The tables of two databases, side by side.

use std::collections::BTreeMap;

use sqlx::{FromRow, PgConnection};

use crate::archive::ArchiveError;
use crate::archive::selection::TableName;
use crate::archive::session::{quote_ident, quote_qualified};

/// A table of one database.
#[derive(Debug, Clone, FromRow)]
pub struct Table {
    /// The oid of its `pg_class` row.
    pub oid: i64,
    /// Schema, unquoted.
    pub schema: String,
    /// Name, unquoted.
    pub name: String,
    /// Whether its rows lie in partitions.
    pub partitioned: bool,
    /// Its columns in order, the generated ones left out.
    pub columns: Vec<String>,
    /// Their types, as SQL.
    pub types: Vec<String>,
    /// Whether a column is `GENERATED ALWAYS AS IDENTITY`, in the order of `columns`.
    pub identities_always: Vec<bool>,
    /// The columns of its key; empty where it has none.
    pub key: Vec<String>,
    /// The operator by which each of them is equal, as SQL.
    pub key_operators: Vec<String>,
    /// Whether a rule rewrites what is written to it.
    pub has_rules: bool,
    /// Whether a unique or exclusion constraint of it may be checked later.
    pub has_deferrable_key: bool,
}

impl Table {
    /// Schema and name.
    pub fn table_name(&self) -> TableName {
        TableName { schema: self.schema.clone(), name: self.name.clone() }
    }

    /// The table as it stands in SQL.
    pub fn ident(&self) -> String {
        quote_qualified(&self.schema, &self.name)
    }

    /// What reads, changes or deletes its own rows: those of tables that inherit from it are theirs.
    pub fn only(&self) -> String {
        if self.partitioned { self.ident() } else { format!("ONLY {}", self.ident()) }
    }

    /// The type of a column, as SQL.
    pub fn type_of(&self, column: &str) -> Option<&str> {
        let place = self.columns.iter().position(|name| name == column)?;
        self.types.get(place).map(String::as_str)
    }
}

/// Reads the tables of a database, under the settings of [`crate::archive::session`].
///
/// # Errors
/// [`ArchiveError::Database`].
pub async fn read_tables(connection: &mut PgConnection) -> Result<BTreeMap<TableName, Table>, ArchiveError> {
    let tables: Vec<Table> = sqlx::query_as(include_str!("sql/tables.sql"))
        .persistent(false)
        .fetch_all(connection)
        .await
        .map_err(|error| ArchiveError::database("list the tables to compare", &error))?;
    Ok(tables.into_iter().map(|table| (table.table_name(), table)).collect())
}

/// How the rows of a table that both databases have are told apart.
#[derive(Debug, Clone)]
pub struct Pair {
    /// In production.
    pub production: Table,
    /// In the copy.
    pub copy: Table,
    /// The columns that both have, in the copy's order.
    pub columns: Vec<String>,
    /// The columns of a key that both have; empty where a row is known only by all that it holds.
    pub key: Vec<String>,
}

impl Pair {
    /// Puts a table of either side together.
    pub fn new(production: Table, copy: Table) -> Self {
        let columns: Vec<String> =
            copy.columns.iter().filter(|name| production.columns.contains(name)).cloned().collect();
        let same_key = copy.key.len() == production.key.len()
            && copy.key.iter().all(|name| production.key.contains(name));
        let key = if same_key { production.key.clone() } else { Vec::new() };
        Self { production, copy, columns, key }
    }

    /// Columns that only production has.
    pub fn columns_only_in_production(&self) -> Vec<String> {
        self.production.columns.iter().filter(|name| !self.columns.contains(name)).cloned().collect()
    }

    /// Columns that only the copy has.
    pub fn columns_only_in_copy(&self) -> Vec<String> {
        self.copy.columns.iter().filter(|name| !self.columns.contains(name)).cloned().collect()
    }

    /// What a row is known by: its key, or all of it.
    pub fn identity(&self) -> &[String] {
        if self.key.is_empty() { &self.columns } else { &self.key }
    }
}

/// The columns of one row as a text that is the same on every server, as SQL: under the settings of
/// [`crate::archive::session`], compared by bytes.
pub fn row_text(alias: &str, columns: &[String]) -> String {
    let columns: Vec<String> =
        columns.iter().map(|column| format!("{alias}.{}", quote_ident(column))).collect();
    format!("(ROW({})::text COLLATE \"C\")", columns.join(", "))
}

/// The hash of [`row_text`], as SQL: the same on every version of Postgres that recoup knows.
pub fn row_hash(alias: &str, columns: &[String]) -> String {
    format!("pg_catalog.hashtextextended({}, 0)", row_text(alias, columns))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: &[&str], key: &[&str]) -> Table {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Table {
            oid: 1,
            schema: "shop".to_owned(),
            name: "orders".to_owned(),
            partitioned: false,
            columns: owned(columns),
            types: vec!["integer".to_owned(); columns.len()],
            identities_always: vec![false; columns.len()],
            key: owned(key),
            key_operators: vec!["OPERATOR(pg_catalog.=)".to_owned(); key.len()],
            has_rules: false,
            has_deferrable_key: false,
        }
    }

    #[test]
    fn what_both_sides_have_is_compared_and_the_rest_is_named() {
        let pair = Pair::new(table(&["b", "a", "new"], &["b", "a"]), table(&["a", "b", "old"], &["a", "b"]));
        assert_eq!(pair.columns, ["a", "b"]);
        assert_eq!(pair.key, ["b", "a"]);
        assert_eq!(pair.columns_only_in_production(), ["new"]);
        assert_eq!(pair.columns_only_in_copy(), ["old"]);
        let other_key = Pair::new(table(&["a", "b"], &["a"]), table(&["a", "b"], &["b"]));
        assert_eq!((other_key.key.len(), other_key.identity().len()), (0, 2));
    }

    #[test]
    fn a_row_is_hashed_with_its_names_quoted() {
        let columns = ["a\"b".to_owned()];
        assert_eq!(
            row_hash("t", &columns),
            r#"pg_catalog.hashtextextended((ROW(t."a""b")::text COLLATE "C"), 0)"#
        );
    }
}
