//! The instant that a segment reaches: time, highest id, snapshot.

use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;

use crate::archive::ArchiveError;

fn failed(operation: &'static str) -> impl Fn(sqlx::Error) -> ArchiveError {
    move |error| ArchiveError::database(operation, &error)
}

/// The moment that a segment reaches, before its snapshot.
#[derive(Debug, FromRow)]
pub(super) struct Moment {
    pub(super) taken_at: OffsetDateTime,
    pub(super) last_id: i64,
    pub(super) postgres_version: i32,
    pub(super) database: String,
}

/// Follows tables that were renamed.
pub(super) async fn keep_names(state: &mut PgConnection) -> Result<(), ArchiveError> {
    sqlx::query(
        "UPDATE recoup.captured_tables AS t
        SET schema_name = c.schema_name, table_name = c.table_name
        FROM recoup.captured AS c
        WHERE c.table_id = t.id
            AND (t.schema_name, t.table_name) IS DISTINCT FROM (c.schema_name, c.table_name)",
    )
    .persistent(false)
    .execute(state)
    .await
    .map_err(failed("read which tables are captured"))?;
    Ok(())
}

/// Before the snapshot is taken, so that whatever had committed by this time is seen by it, and whatever begins after it
/// has higher ids.
pub(super) async fn moment(state: &mut PgConnection) -> Result<Moment, ArchiveError> {
    sqlx::query_as(
        "SELECT clock_timestamp() AS taken_at,
            CASE WHEN is_called THEN last_value ELSE last_value - 1 END AS last_id,
            current_setting('server_version_num')::int AS postgres_version,
            current_database()::text AS database
        FROM recoup.row_changes_id_seq",
    )
    .persistent(false)
    .fetch_one(state)
    .await
    .map_err(failed("read the time of the snapshot"))
}

pub(super) async fn current_snapshot(connection: &mut PgConnection) -> Result<String, ArchiveError> {
    sqlx::query_scalar("SELECT pg_catalog.pg_current_snapshot()::text")
        .persistent(false)
        .fetch_one(connection)
        .await
        .map_err(failed("take a snapshot"))
}
