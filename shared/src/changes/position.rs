//! Where the chain of this database stands: `recoup.change_segments` against the bucket.

use sqlx::PgConnection;
use sqlx::types::Json;
use time::OffsetDateTime;

use super::chain::list_segments;
use super::definitions::KeptDefinitions;
use super::error::ChangesError;
use super::names::SegmentId;
use crate::archive::ArchiveError;
use crate::archive::store::ObjectStore;

/// The newest segment of a chain that goes on.
#[derive(Debug)]
pub(super) struct Position {
    pub(super) id: SegmentId,
    pub(super) content_sha256: String,
    pub(super) snapshot: String,
    pub(super) taken_at: OffsetDateTime,
    pub(super) definitions: KeptDefinitions,
    /// No change that is still to be exported has an id up to this one.
    pub(super) exported_id: i64,
}

/// Whether the chain goes on.
#[derive(Debug)]
pub(super) enum Standing {
    /// After this segment.
    GoesOn(Box<Position>),
    /// It does not, for this reason: a new one begins.
    Begins(String),
}

#[derive(Debug, sqlx::FromRow)]
struct Row {
    segment_id: String,
    pending: bool,
    snapshot: String,
    taken_at: OffsetDateTime,
    content_sha256: String,
    database: String,
    definitions: Option<Json<KeptDefinitions>>,
    exported_id: i64,
}

fn failed(error: &sqlx::Error) -> ArchiveError {
    ArchiveError::database("read recoup.change_segments", error)
}

/// A name that no other database has, for as long as its history goes on: a copy has another oid or another server.
///
/// # Errors
/// [`ArchiveError::Database`].
pub(super) async fn database_identity(connection: &mut PgConnection) -> Result<String, ArchiveError> {
    let oid: i64 = sqlx::query_scalar(
        "SELECT oid::int8 FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()",
    )
    .persistent(false)
    .fetch_one(&mut *connection)
    .await
    .map_err(|error| failed(&error))?;
    // Some servers keep it to themselves; what a copy there has lost or gained, the bucket shows.
    let may_ask: bool = sqlx::query_scalar(
        "SELECT pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')",
    )
    .persistent(false)
    .fetch_one(&mut *connection)
    .await
    .map_err(|error| failed(&error))?;
    if !may_ask {
        return Ok(format!("unknown/{oid}"));
    }
    let system: String =
        sqlx::query_scalar("SELECT system_identifier::text FROM pg_catalog.pg_control_system()")
            .persistent(false)
            .fetch_one(connection)
            .await
            .map_err(|error| failed(&error))?;
    Ok(format!("{system}/{oid}"))
}

/// Compares what this database knows with what the bucket has. The caller holds the lock of exports.
///
/// # Errors
/// [`ChangesError::Store`], [`ArchiveError::Database`].
pub(super) async fn find(
    connection: &mut PgConnection,
    store: &impl ObjectStore,
    database: &str,
) -> Result<Standing, ChangesError> {
    loop {
        let Some(row) = newest(connection).await? else {
            return Ok(Standing::Begins("no changes of this database have been exported yet".to_owned()));
        };
        if row.database != database {
            return Ok(Standing::Begins(format!(
                "this database is a copy of the one whose changes segment {} holds",
                row.segment_id
            )));
        }
        let id: SegmentId = row.segment_id.parse().map_err(ArchiveError::InvalidRequest)?;
        let here = sealed_at(store, &id, id.sequence()).await?;
        let next = sealed_at(store, &id, id.sequence() + 1).await?;
        if let Some(other) = here.iter().chain(&next).find(|other| **other != id) {
            return Ok(Standing::Begins(format!(
                "the bucket has segment {other}, which this database does not know: it lost what that holds, or another \
                 database writes the same chain"
            )));
        }
        match (here.is_empty(), row.pending) {
            (false, pending) => {
                if pending {
                    mark_sealed(connection, &id).await?;
                }
                return Ok(Standing::GoesOn(Box::new(Position {
                    id,
                    content_sha256: row.content_sha256,
                    snapshot: row.snapshot,
                    taken_at: row.taken_at,
                    definitions: row.definitions.map(|Json(kept)| kept).unwrap_or_default(),
                    exported_id: row.exported_id,
                })));
            }
            // A run that died before it stored the manifest: there is no such segment.
            (true, true) => forget(connection, &id).await?,
            (true, false) => {
                return Ok(Standing::Begins(format!("segment {id} is missing in the bucket")));
            }
        }
    }
}

/// The segments with a manifest that the bucket has at `sequence` of the chain of `id`.
async fn sealed_at(
    store: &impl ObjectStore,
    id: &SegmentId,
    sequence: u64,
) -> Result<Vec<SegmentId>, ChangesError> {
    let listed = list_segments(store, &SegmentId::prefix(id.chain(), sequence)).await?;
    Ok(listed.into_iter().filter(|(_, segment)| segment.sealed).map(|(id, _)| id).collect())
}

async fn newest(connection: &mut PgConnection) -> Result<Option<Row>, ArchiveError> {
    sqlx::query_as(include_str!("sql/newest_segment.sql"))
        .persistent(false)
        .fetch_optional(connection)
        .await
        .map_err(|error| failed(&error))
}

async fn forget(connection: &mut PgConnection, id: &SegmentId) -> Result<(), ArchiveError> {
    sqlx::query("DELETE FROM recoup.change_segments WHERE segment_id = $1 AND status = 'pending'")
        .bind(id.to_string())
        .persistent(false)
        .execute(connection)
        .await
        .map_err(|error| ArchiveError::database("forget a segment that was not sealed", &error))?;
    Ok(())
}

/// Notes that the manifest of a segment stands. Definitions are compared with the newest alone.
///
/// # Errors
/// [`ArchiveError::Database`].
pub(super) async fn mark_sealed(connection: &mut PgConnection, id: &SegmentId) -> Result<(), ArchiveError> {
    sqlx::query(
        "UPDATE recoup.change_segments
        SET status = 'sealed',
            definitions = CASE WHEN segment_id = $1 THEN definitions END
        WHERE segment_id = $1 OR (chain = $2 AND definitions IS NOT NULL)",
    )
    .bind(id.to_string())
    .bind(id.chain().to_string())
    .persistent(false)
    .execute(connection)
    .await
    .map_err(|error| ArchiveError::database("note that the segment is sealed", &error))?;
    Ok(())
}
