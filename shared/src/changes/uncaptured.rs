//! Tables whose changes are not captured: what would be lost of them between two full backups.

use serde::Serialize;
use sqlx::PgConnection;

use crate::archive::ArchiveError;
use crate::archive::schema::{SchemaSelection, schema_oids};

/// Tables of recoup that are caches, or about its own work: they are not captured.
pub const NOT_CAPTURED: [&str; 6] =
    ["_sqlx_migrations", "backups", "captured_tables", "change_segments", "row_changes", "verifications"];

/// A table whose changes are not captured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Uncaptured {
    /// `schema.table`.
    pub table: String,
    /// Why, and what to do.
    pub why: &'static str,
}

/// The tables of these schemas whose changes are not captured.
///
/// # Errors
/// [`ArchiveError::Database`].
pub async fn uncaptured(
    connection: &mut PgConnection,
    schemas: &SchemaSelection,
) -> Result<Vec<Uncaptured>, ArchiveError> {
    let schemas = schema_oids(connection, schemas).await?;
    let rows: Vec<(String, String, bool, bool)> = sqlx::query_as(include_str!("sql/uncaptured_tables.sql"))
        .bind(schemas)
        .bind(NOT_CAPTURED.map(str::to_owned).to_vec())
        .persistent(false)
        .fetch_all(connection)
        .await
        .map_err(|error| ArchiveError::database("read which tables are captured", &error))?;
    let named = rows.into_iter().map(|(schema, name, switched_off, has_key)| Uncaptured {
        table: format!("{schema}.{name}"),
        why: match (switched_off, has_key) {
            (true, _) => "a trigger of its capture was switched off or dropped: release it and capture it again",
            (false, true) => "capture it with backup {\"action\":\"capture\"}",
            (false, false) => {
                "it has no key: give it a primary key, or a unique constraint on NOT NULL columns, then capture it"
            }
        },
    });
    Ok(named.collect())
}
