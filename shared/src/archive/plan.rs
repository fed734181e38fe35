//! Step one of a backup, *plan*: one snapshot, the tables in it, and their parts.
//!
//! A part is a range of a table's pages (`ctid`), so that several connections read one large table at a
//! time. A table that occupies no page has no part. The last range of a table has no upper end.

use sqlx::{PgConnection, Row};

use super::error::ArchiveError;
use super::format::TableFormat;
use super::manifest::{ChangesLink, Column, DatabaseTraits, SequenceEntry, Snapshot};
use super::names::table_folder;
use super::schema::{self, SchemaDump, SchemaSelection, TableSubset};
use super::selection::{Chosen, Rows};
use super::session::{quote_ident, quote_qualified, run};
use crate::changes::link;

/// How much of a table (with what it keeps in TOAST) one part holds, about. Small enough that several
/// workers end together and a resumed backup repeats little; large enough that requests do not count.
const PART_TABLE_BYTES: u64 = 32 * 1024 * 1024;

/// No table is cut into more parts than this; its parts grow instead.
const PARTS_PER_TABLE_MAX: u64 = 10_000;

/// SQLSTATE (PostgreSQL documentation, appendix A).
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Tables locked by one statement.
const TABLES_PER_LOCK: usize = 100;

/// Tables whose rows belong to one history of one database: a copy has another one, and begins without them.
pub const OF_ONE_HISTORY: [(&str, &str); 2] = [("recoup", "row_changes"), ("recoup", "change_segments")];

/// What a backup will read.
#[derive(Debug)]
pub struct Plan {
    /// The instant that all sessions see.
    pub snapshot: Snapshot,
    /// Where the database's chain of changes stands at that instant.
    pub changes: Option<ChangesLink>,
    /// How the database was created.
    pub database: DatabaseTraits,
    /// `server_version_num`.
    pub postgres_version: i32,
    /// Tables by schema and name.
    pub tables: Vec<TablePlan>,
    /// The definitions.
    pub definitions: SchemaDump,
    /// Sequences and their values.
    pub sequences: Vec<SequenceEntry>,
}

/// One table and how it is cut.
#[derive(Debug, Clone)]
pub struct TablePlan {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Columns that are stored.
    pub columns: Vec<Column>,
    /// Which of its rows.
    pub rows: Rows,
    /// Ranges of pages.
    pub parts: Vec<PageRange>,
    /// Its bytes on disk, with what it keeps in TOAST, when it was planned.
    pub bytes: u64,
}

/// Pages of a table's heap from `first` up to, not including, `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRange {
    /// First page.
    pub first: u64,
    /// The page after the last; none for what is left of the table.
    pub end: Option<u64>,
}

impl TablePlan {
    /// The share of its bytes that one part stands for, about.
    pub fn part_bytes(&self) -> u64 {
        self.bytes / (self.parts.len().max(1) as u64)
    }

    /// `schema.table`, for messages.
    pub fn qualified_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// The statement that reads one of its parts.
    pub fn copy_out_sql(&self, range: PageRange) -> String {
        let columns = column_list(&self.columns);
        let table = quote_qualified(&self.schema, &self.name);
        let until = range.end.map_or(String::new(), |end| format!(" AND ctid < '({end},0)'"));
        let condition = match &self.rows {
            Rows::All => String::new(),
            Rows::Where(condition) => format!(" AND {condition}"),
        };
        format!(
            "COPY (SELECT {columns} FROM ONLY {table} WHERE ctid >= '({},0)'{until}{condition}) TO STDOUT",
            range.first
        )
    }

    /// The key of a part inside the backup's folder, without the suffix of its encryption.
    pub fn part_key(&self, number: usize, format: TableFormat) -> String {
        let folder = table_folder(&self.schema, &self.name);
        format!("data/{folder}/{number:05}.{}.zst", format.extension())
    }
}

/// Columns as they stand in SQL.
pub fn column_list(columns: &[Column]) -> String {
    columns.iter().map(|column| quote_ident(&column.name)).collect::<Vec<_>>().join(", ")
}

/// Plans a backup of all tables, or of those that were chosen, on a connection that [`super::session::open_reading`] gave. The connection must stay
/// open, and in its transaction, until the last part is read: the snapshot and the locks end with it.
///
/// # Errors
/// [`ArchiveError::TableChanged`] where a table was rewritten between snapshot and lock: old snapshots
/// see such a table empty, and a backup would look whole without its rows. [`ArchiveError::Database`].
pub async fn plan(
    connection: &mut PgConnection,
    selection: &SchemaSelection,
    chosen: Option<&Chosen>,
) -> Result<Plan, ArchiveError> {
    let snapshot = export_snapshot(connection).await?;
    let (database, postgres_version) = read_traits(connection).await?;
    let tables = plan_tables(connection, selection, |table| match chosen {
        None => Some(Rows::All),
        Some(chosen) => chosen.tables.get(&i64::from(table.oid)).cloned(),
    })
    .await?;
    let subset = chosen.map(|chosen| TableSubset {
        tables: chosen.tables.keys().copied().collect(),
        partitioned: chosen.partitioned.clone(),
    });
    let definitions = schema::read_schema_of(connection, selection, subset.as_ref()).await?;
    let made = |oid| definitions.sequences.contains(&oid);
    let sequences =
        schema::read_sequences_of(connection, selection, made).await?.into_iter().map(|sequence| {
            let schema::Sequence { schema, name, last_value, is_called, .. } = sequence;
            SequenceEntry { schema, name, last_value, is_called }
        });
    let sequences = sequences.collect();
    let changes = match chosen {
        None => link::read(connection).await?,
        Some(_) => None,
    };
    Ok(Plan { snapshot, changes, database, postgres_version, tables, definitions, sequences })
}

/// Lists the tables for which `rows` says which rows are meant, with their parts, and locks them against change.
///
/// # Errors
/// As [`plan`].
pub async fn plan_tables(
    connection: &mut PgConnection,
    selection: &SchemaSelection,
    rows: impl Fn(&schema::Table) -> Option<Rows>,
) -> Result<Vec<TablePlan>, ArchiveError> {
    let found = schema::read_tables(connection, selection).await?;
    let wanted = |table: &schema::Table| {
        let wanted = rows(table)?;
        let stays = OF_ONE_HISTORY.contains(&(table.schema.as_str(), table.name.as_str()));
        Some(if stays { Rows::Where("false".to_owned()) } else { wanted })
    };
    let (tables, rows): (Vec<schema::Table>, Vec<Rows>) =
        found.into_iter().filter_map(|table| wanted(&table).map(|rows| (table, rows))).unzip();
    for tables in tables.chunks(TABLES_PER_LOCK) {
        let names: Vec<_> = tables.iter().map(|table| format!("ONLY {}", table.ident)).collect();
        let sql = format!("LOCK TABLE {} IN ACCESS SHARE MODE", names.join(", "));
        run(connection, "lock the tables against being dropped or altered", &sql).await?;
    }
    let oids: Vec<i64> = tables.iter().map(|table| i64::from(table.oid)).collect();
    refuse_rewritten(connection, &oids).await?;
    let sizes: Vec<(Option<i64>, Option<i64>)> = sqlx::query_as(include_str!("sql/table_sizes.sql"))
        .bind(&oids)
        .persistent(false)
        .fetch_all(connection)
        .await
        .map_err(|error| ArchiveError::database("measure the tables", &error))?;
    let planned = tables.into_iter().zip(rows).zip(sizes).map(|((table, rows), (pages, bytes))| TablePlan {
        schema: table.schema,
        name: table.name,
        columns: table
            .columns
            .into_iter()
            .map(|column| Column { name: column.name, data_type: column.type_name })
            .collect(),
        parts: match &rows {
            Rows::All => split(count(pages), count(bytes)),
            // A condition is worked out once, and not again for each part.
            Rows::Where(_) => split(count(pages).min(1), 0),
        },
        bytes: count(bytes),
        rows,
    });
    Ok(planned.collect())
}

/// Locks what a part of a table reads, in a session that reads beside the one that [`plan`] was given; `false` where
/// somebody waits to alter, empty or drop it. That one waits for the planning session, and comes before every other that
/// asks for a lock (PostgreSQL documentation, "Explicit Locking"): to wait for it would be to wait for the end of this
/// backup. The planning session has its locks and can read.
///
/// # Errors
/// [`ArchiveError::Database`].
pub async fn lock_to_read(
    connection: &mut PgConnection,
    tables: &[TablePlan],
    table: usize,
) -> Result<bool, ArchiveError> {
    let read = match &tables[table].rows {
        Rows::All => &tables[table..=table],
        // Conditions look into the other tables.
        Rows::Where(_) => tables,
    };
    let names: Vec<_> =
        read.iter().map(|table| format!("ONLY {}", quote_qualified(&table.schema, &table.name))).collect();
    let operation = format!("lock table {} to read it", tables[table].qualified_name());
    let lock = names.join(", ");
    let sql =
        format!("SAVEPOINT locks; LOCK TABLE {lock} IN ACCESS SHARE MODE NOWAIT; RELEASE SAVEPOINT locks");
    match run(connection, &operation, &sql).await {
        Ok(()) => Ok(true),
        Err(ArchiveError::Database { reason, .. }) if reason.is(LOCK_NOT_AVAILABLE) => {
            run(connection, &operation, "ROLLBACK TO SAVEPOINT locks").await?;
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Proves that the transaction that [`plan`] began still stands, so that nobody could drop, alter or empty a table
/// while its parts were read: a session that reads locks a table at its first part of it, and not before.
///
/// # Errors
/// [`ArchiveError::Database`]: what was read may be of several instants.
pub async fn prove_held(connection: &mut PgConnection) -> Result<(), ArchiveError> {
    run(connection, "hold the snapshot and the locks of the tables", "SELECT").await
}

fn count(value: Option<i64>) -> u64 {
    value.and_then(|value| u64::try_from(value).ok()).unwrap_or_default()
}

/// Cuts `pages` pages that stand for `bytes` bytes into ranges.
fn split(pages: u64, bytes: u64) -> Vec<PageRange> {
    if pages == 0 {
        return Vec::new();
    }
    let parts = bytes.div_ceil(PART_TABLE_BYTES).clamp(1, PARTS_PER_TABLE_MAX.min(pages));
    let pages_per_part = pages.div_ceil(parts);
    let firsts: Vec<u64> =
        (0..parts).map(|part| part * pages_per_part).filter(|first| *first < pages).collect();
    let ends = firsts.iter().skip(1).copied().map(Some).chain([None]);
    firsts.iter().copied().zip(ends).map(|(first, end)| PageRange { first, end }).collect()
}

/// Takes the snapshot that all sessions will see.
///
/// # Errors
/// [`ArchiveError::Database`].
pub async fn export_snapshot(connection: &mut PgConnection) -> Result<Snapshot, ArchiveError> {
    let operation = "take a snapshot";
    let failed = |error: sqlx::Error| ArchiveError::database(operation, &error);
    let (id, transactions, taken_at) = sqlx::query_as(
        "SELECT pg_catalog.pg_export_snapshot(), pg_catalog.pg_current_snapshot()::text, clock_timestamp()",
    )
    .persistent(false)
    .fetch_one(&mut *connection)
    .await
    .map_err(failed)?;

    // Some managed servers keep the log position to themselves: a backup does not need it.
    run(connection, operation, "SAVEPOINT log_position").await?;
    let lsn = sqlx::query_scalar(
        "SELECT (CASE WHEN pg_catalog.pg_is_in_recovery()
            THEN pg_catalog.pg_last_wal_replay_lsn()
            ELSE pg_catalog.pg_current_wal_lsn()
        END)::text",
    )
    .persistent(false)
    .fetch_one(&mut *connection)
    .await;
    let lsn: Option<String> = match lsn {
        Ok(lsn) => lsn,
        Err(error) if error.as_database_error().is_some() => None,
        Err(error) => return Err(failed(error)),
    };
    run(connection, operation, "ROLLBACK TO SAVEPOINT log_position").await?;
    Ok(Snapshot { id, transactions, lsn, taken_at })
}

async fn read_traits(connection: &mut PgConnection) -> Result<(DatabaseTraits, i32), ArchiveError> {
    let row = sqlx::query(include_str!("sql/database.sql"))
        .persistent(false)
        .fetch_one(connection)
        .await
        .map_err(|error| ArchiveError::database("read how the database was created", &error))?;
    let traits = DatabaseTraits {
        name: row.get("name"),
        encoding: row.get("encoding"),
        locale_provider: row.get("locale_provider"),
        collate: row.get("collate"),
        ctype: row.get("ctype"),
        locale: row.get("locale"),
        icu_rules: row.get("icu_rules"),
    };
    Ok((traits, row.get("postgres_version")))
}

async fn refuse_rewritten(connection: &mut PgConnection, oids: &[i64]) -> Result<(), ArchiveError> {
    // The row of pg_class is read at the snapshot; pg_relation_filenode() tells what is true now.
    let rewritten: Option<String> = sqlx::query_scalar(
        "SELECT n.nspname || '.' || c.relname
        FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.oid::int8 = ANY ($1) AND c.relfilenode IS DISTINCT FROM pg_catalog.pg_relation_filenode(c.oid)
        LIMIT 1",
    )
    .bind(oids)
    .persistent(false)
    .fetch_optional(connection)
    .await
    .map_err(|error| ArchiveError::database("check that no table was rewritten", &error))?;
    rewritten.map_or(Ok(()), |table| Err(ArchiveError::TableChanged { table }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_every_page_once_and_have_no_upper_end() {
        for (pages, bytes) in
            [(1, 8192), (7, 57_344), (200_000, 1_638_400_000), (3, 400_000_000), (1, u64::MAX)]
        {
            let parts = split(pages, bytes);
            assert_eq!(parts[0].first, 0);
            assert!(parts.windows(2).all(|pair| pair[0].end == Some(pair[1].first)));
            assert!(parts.iter().all(|part| part.first < pages));
            assert_eq!(parts.last().expect("a part").end, None);
        }
        assert_eq!(split(0, 0), []);
        assert_eq!(split(200_000, 1_638_400_000).len(), 49);
        assert!(split(u64::from(u32::MAX), 1 << 55).len() as u64 <= PARTS_PER_TABLE_MAX);
    }

    #[test]
    fn a_part_is_read_by_its_pages() {
        let column = |name: &str| Column { name: name.to_owned(), data_type: "text".to_owned() };
        let table = TablePlan {
            schema: "shop".to_owned(),
            name: "Order \"items\"".to_owned(),
            columns: vec![column("id"), column("Größe")],
            rows: Rows::All,
            parts: Vec::new(),
            bytes: 0,
        };
        assert_eq!(
            table.copy_out_sql(PageRange { first: 4, end: Some(8) }),
            r#"COPY (SELECT "id", "Größe" FROM ONLY "shop"."Order ""items""" WHERE ctid >= '(4,0)' AND ctid < '(8,0)') TO STDOUT"#
        );
        assert!(
            table
                .copy_out_sql(PageRange { first: 8, end: None })
                .ends_with("WHERE ctid >= '(8,0)') TO STDOUT")
        );
        let chosen = TablePlan { rows: Rows::Where("at > now()".to_owned()), ..table.clone() };
        assert!(
            chosen
                .copy_out_sql(PageRange { first: 0, end: None })
                .ends_with("WHERE ctid >= '(0,0)' AND at > now()) TO STDOUT")
        );
        assert_eq!(table.part_key(3, TableFormat::Copy), "data/shop.Order%20%22items%22/00003.copy.zst");
    }
}
