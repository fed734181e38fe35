//! Tables that begin or cease to be captured, by command.

use serde::Serialize;
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;

use super::uncaptured::{Uncaptured, uncaptured};
use crate::archive::ArchiveError;
use crate::archive::schema::SchemaSelection;
use crate::archive::selection::TableName;
use crate::archive::session::run;
use crate::audit::Mandate;
use crate::db;

/// A writer that holds a table must not hold up all others behind a capture that waits for it.
const PATIENCE: &str =
    "BEGIN; SET LOCAL search_path = ''; SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '1min'";

/// What is to be done with tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Capture their changes from now on.
    Capture,
    /// Capture them no more.
    Release,
}

impl Order {
    fn verb(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Release => "release",
        }
    }
}

/// A table whose changes are captured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow)]
pub struct Captured {
    /// `schema.table`.
    pub table: String,
    /// The columns of its key.
    pub key: Vec<String>,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
}

/// What there is after it was carried out, or what there would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ordered {
    /// Tables whose changes are captured, by name.
    pub captured: Vec<Captured>,
    /// Those whose changes are not.
    pub not_captured: Vec<Uncaptured>,
}

/// Carries out an order on tables, all of them or none, and writes it to the audit log. Without an author it is carried
/// out, looked at, and taken back.
///
/// # Errors
/// [`ArchiveError::UnknownTable`] for a table that there is none of, or that cannot be captured;
/// [`ArchiveError::Database`].
pub async fn carry_out(
    options: &PgConnectOptions,
    schemas: &SchemaSelection,
    order: Order,
    tables: &[TableName],
    author: Option<&Mandate>,
) -> Result<Ordered, ArchiveError> {
    let mut connection = db::connect(options).await?;
    let verb = order.verb();
    run(&mut connection, verb, PATIENCE).await?;
    for table in tables {
        apply(&mut connection, order, table).await?;
    }
    if let Some(author) = author.filter(|_| !tables.is_empty()) {
        let names: Vec<String> = tables.iter().map(ToString::to_string).collect();
        sqlx::query(
            "INSERT INTO recoup.audit_log (actor, action, subject, reason, after)
            VALUES ($1, $2, 'captured tables', $3, $4)",
        )
        .bind(&author.actor)
        .bind(verb)
        .bind(&author.reason)
        .bind(json!({"tables": names}))
        .persistent(false)
        .execute(&mut connection)
        .await
        .map_err(|error| ArchiveError::database("write the audit log", &error))?;
    }
    let ordered = Ordered {
        captured: captured(&mut connection).await?,
        not_captured: uncaptured(&mut connection, schemas).await?,
    };
    run(&mut connection, verb, if author.is_some() { "COMMIT" } else { "ROLLBACK" }).await?;
    Ok(ordered)
}

async fn apply(connection: &mut PgConnection, order: Order, table: &TableName) -> Result<(), ArchiveError> {
    let unknown = |reason: String| ArchiveError::UnknownTable { table: table.to_string(), reason };
    let oid: Option<i64> = sqlx::query_scalar(
        "SELECT c.oid::int8 FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relname = $2",
    )
    .bind(&table.schema)
    .bind(&table.name)
    .persistent(false)
    .fetch_optional(&mut *connection)
    .await
    .map_err(|error| ArchiveError::database(format!("find table {table}"), &error))?;
    let Some(oid) = oid else {
        return Err(unknown("there is no such table; write its name as in SQL".to_owned()));
    };
    let sql = match order {
        Order::Capture => "SELECT recoup.capture_table($1::int8::oid::regclass)",
        Order::Release => "SELECT recoup.release_table($1::int8::oid::regclass)",
    };
    let done = sqlx::query(sql).bind(oid).persistent(false).execute(connection).await;
    match done {
        Ok(_) => Ok(()),
        // Raised by these functions, for people: no row's value is in them.
        Err(error) => match error.as_database_error().map(|refusal| refusal.downcast_ref()) {
            Some(refusal) if is_ours(refusal) => {
                let hint = refusal.hint().unwrap_or_default();
                Err(unknown(format!("{}; {hint}", refusal.message())))
            }
            _ => Err(ArchiveError::database(format!("{} table {table}", order.verb()), &error)),
        },
    }
}

fn is_ours(refusal: &sqlx::postgres::PgDatabaseError) -> bool {
    refusal.routine() == Some("exec_stmt_raise") && refusal.hint().is_some()
}

async fn captured(connection: &mut PgConnection) -> Result<Vec<Captured>, ArchiveError> {
    sqlx::query_as(
        "SELECT c.schema_name || '.' || c.table_name AS table, c.key_columns AS key, c.captured_at AS since
        FROM recoup.captured AS c
        WHERE c.complete
        ORDER BY c.schema_name COLLATE \"C\", c.table_name COLLATE \"C\"",
    )
    .persistent(false)
    .fetch_all(connection)
    .await
    .map_err(|error| ArchiveError::database("read which tables are captured", &error))
}
