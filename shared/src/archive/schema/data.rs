//! What of a database is data: the tables to copy and where the sequences stand.

use sqlx::{AssertSqlSafe, FromRow, PgConnection};

use super::{
    SchemaError, SchemaSelection,
    catalog::{PinnedSearchPath, rows},
    selection::schema_oids,
};

const DATA_TABLES: &str = include_str!("sql/data_tables.sql");
const DATA_SEQUENCES: &str = include_str!("sql/data_sequences.sql");

/// A table that holds rows of its own: an ordinary table, an inheritance parent (its own rows only, as `COPY`
/// without a query copies them) or a partition. A partitioned table holds none, a foreign table's are elsewhere,
/// and an extension's tables belong to the extension.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Schema, unquoted.
    pub schema: String,
    /// Name, unquoted.
    pub name: String,
    /// `schema.name`, quoted where needed.
    pub ident: String,
    /// The oid of its `pg_class` row.
    pub oid: u32,
    /// The columns that can be copied, in order: all but the generated ones.
    pub columns: Vec<Column>,
    /// Whether a column is `GENERATED ALWAYS AS IDENTITY`: `COPY` fills it, `INSERT` needs
    /// `OVERRIDING SYSTEM VALUE`.
    pub has_identity_always: bool,
    /// Size in pages at the last `VACUUM` or `ANALYZE`; 0 or less means unknown.
    pub relpages: i32,
    /// Live rows at that time, an estimate; -1 means unknown.
    pub reltuples: f32,
    /// Size in pages now (main fork), for splitting by `ctid`.
    pub pages: i64,
    /// The primary key's columns in key order, unquoted; empty if there is none.
    pub primary_key: Vec<String>,
    /// Whether row security is on.
    pub row_security: bool,
    /// Whether row security binds the owner too: it then hides rows from everyone without `BYPASSRLS`.
    pub force_row_security: bool,
    /// Whether it is a partition.
    pub is_partition: bool,
    /// Whether it is unlogged: its rows do not survive a crash of the server.
    pub is_unlogged: bool,
}

/// A column that can be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Name, unquoted.
    pub name: String,
    /// The name quoted where needed.
    pub ident: String,
    /// Type with its modifier, as `format_type` prints it with an empty `search_path`.
    pub type_name: String,
    /// Whether it refuses nulls.
    pub not_null: bool,
}

/// Where a sequence stands.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Sequence {
    /// Schema, unquoted.
    pub schema: String,
    /// Name, unquoted.
    pub name: String,
    /// `schema.name`, quoted where needed.
    pub ident: String,
    /// Its last value, or its first one if it was never called.
    pub last_value: i64,
    /// Whether `last_value` was given out: `setval`'s third argument.
    pub is_called: bool,
}

#[derive(FromRow)]
struct TableRow {
    schema: String,
    name: String,
    ident: String,
    oid: i64,
    column_names: Vec<String>,
    column_idents: Vec<String>,
    column_types: Vec<String>,
    column_not_nulls: Vec<bool>,
    has_identity_always: bool,
    relpages: i32,
    reltuples: f32,
    pages: i64,
    primary_key: Vec<String>,
    row_security: bool,
    force_row_security: bool,
    is_partition: bool,
    is_unlogged: bool,
}

/// Reads every table that holds rows, ordered by schema and name.
///
/// # Errors
/// If a schema of the selection does not exist or the catalog cannot be read.
pub async fn read_tables(
    conn: &mut PgConnection,
    selection: &SchemaSelection,
) -> Result<Vec<Table>, SchemaError> {
    let path = PinnedSearchPath::pin(conn).await?;
    let schemas = schema_oids(conn, selection).await?;
    let found: Vec<TableRow> = rows(conn, "tables with data", DATA_TABLES, &schemas).await?;
    path.restore(conn).await?;
    Ok(found.into_iter().map(TableRow::into_table).collect())
}

/// Reads where every sequence stands, ordered by schema and name. Sequences do not take part in transactions: the
/// values are those of now, which are at least those of any snapshot before.
///
/// # Errors
/// If a schema of the selection does not exist or a sequence cannot be read.
pub async fn read_sequences(
    conn: &mut PgConnection,
    selection: &SchemaSelection,
) -> Result<Vec<Sequence>, SchemaError> {
    read_sequences_of(conn, selection, |_| true).await
}

/// The same for those whose oid is `wanted`; no other is read.
///
/// # Errors
/// As [`read_sequences`].
pub async fn read_sequences_of(
    conn: &mut PgConnection,
    selection: &SchemaSelection,
    wanted: impl Fn(i64) -> bool,
) -> Result<Vec<Sequence>, SchemaError> {
    // A sequence's state is its own one-row relation; some hundred of them to a query keeps planning cheap.
    const AT_ONCE: usize = 200;
    let schemas = schema_oids(conn, selection).await?;
    let mut names: Vec<(i64, String)> = rows(conn, "sequences", DATA_SEQUENCES, &schemas).await?;
    names.retain(|(oid, _)| wanted(*oid));
    let mut sequences = Vec::with_capacity(names.len());
    for some in names.chunks(AT_ONCE) {
        let selects: Vec<&str> = some.iter().map(|(_, select)| select.as_str()).collect();
        let found: Vec<Sequence> = sqlx::query_as(AssertSqlSafe(selects.join("\nUNION ALL\n")))
            .persistent(false)
            .fetch_all(&mut *conn)
            .await
            .map_err(|source| SchemaError::Catalog { what: "sequence values", source })?;
        sequences.extend(found);
    }
    Ok(sequences)
}

impl Table {
    /// What follows `COPY`: the table with its columns; without, if there are none to name.
    pub fn copy_target(&self) -> String {
        if self.columns.is_empty() {
            return self.ident.clone();
        }
        let columns: Vec<&str> = self.columns.iter().map(|column| column.ident.as_str()).collect();
        format!("{} ({})", self.ident, columns.join(", "))
    }
}

impl TableRow {
    fn into_table(self) -> Table {
        let columns = self
            .column_names
            .into_iter()
            .zip(self.column_idents)
            .zip(self.column_types)
            .zip(self.column_not_nulls)
            .map(|(((name, ident), type_name), not_null)| Column { name, ident, type_name, not_null })
            .collect();
        Table {
            schema: self.schema,
            name: self.name,
            ident: self.ident,
            // An oid is 32 bits without a sign; the query widens it only because SQL has no such type.
            oid: u32::try_from(self.oid).unwrap_or_default(),
            columns,
            has_identity_always: self.has_identity_always,
            relpages: self.relpages,
            reltuples: self.reltuples,
            pages: self.pages,
            primary_key: self.primary_key,
            row_security: self.row_security,
            force_row_security: self.force_row_security,
            is_partition: self.is_partition,
            is_unlogged: self.is_unlogged,
        }
    }
}
