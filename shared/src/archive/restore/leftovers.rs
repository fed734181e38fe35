//! Databases that work which was killed left behind.

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnectOptions;

use super::super::error::{ArchiveError, DatabaseReason};
use super::super::session::quote_ident;
use super::staging::{connect_to_server, lock_scratch};

/// Drops every database whose name begins with `prefix` and that no session uses; gives their names. What is in use
/// has a session open, see [`super::Staging`]. One that cannot be dropped stays, and is logged.
///
/// # Errors
/// `DatabaseUnavailable`, [`ArchiveError::Database`] where the databases cannot be listed.
pub async fn drop_leftovers(
    production: &PgConnectOptions,
    prefix: &str,
) -> Result<Vec<String>, ArchiveError> {
    let (_, mut connection) = connect_to_server(production).await?;
    lock_scratch(&mut connection).await?;
    let leftovers: Vec<String> = sqlx::query_scalar(
        "SELECT d.datname::text
        FROM pg_catalog.pg_database AS d
        WHERE pg_catalog.starts_with(d.datname::text, $1)
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity AS a WHERE a.datid = d.oid)
        ORDER BY 1",
    )
    .bind(prefix)
    .persistent(false)
    .fetch_all(&mut connection)
    .await
    .map_err(|error| ArchiveError::database("look for databases that were left behind", &error))?;
    let mut dropped = Vec::new();
    for database in leftovers {
        // Not WITH (FORCE): whoever connected meanwhile keeps it.
        let sql = format!("DROP DATABASE IF EXISTS {}", quote_ident(&database));
        match sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await {
            Ok(_) => dropped.push(database),
            Err(error) => {
                let reason = DatabaseReason::of(&error).to_string();
                tracing::warn!(database, reason, "a database that was left behind stays");
            }
        }
    }
    Ok(dropped)
}
