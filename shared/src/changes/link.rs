//! Where the chain of a database stands at the snapshot of a full backup.

use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;

use super::chain::list_segments;
use super::names::SegmentId;
use super::position::database_identity;
use crate::archive::ArchiveError;
use crate::archive::manifest::ChangesLink;
use crate::archive::store::ObjectStore;
use crate::db;

/// The newest segment that the database knows at the transaction's snapshot; none where changes are not exported. What
/// that segment and those before it hold, the snapshot sees: a segment is written down after its own was taken. One
/// that no manifest stands for (its run died) is followed by another of its number, which replay does not mistake for it.
///
/// # Errors
/// [`ArchiveError::Database`].
pub async fn read(connection: &mut PgConnection) -> Result<Option<ChangesLink>, ArchiveError> {
    let failed = |error: sqlx::Error| ArchiveError::database("read where the changes stand", &error);
    let there: bool = sqlx::query_scalar("SELECT to_regclass('recoup.change_segments') IS NOT NULL")
        .persistent(false)
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    if !there {
        return Ok(None);
    }
    // The rows of a copy that something else than recoup made are another database's.
    let database = database_identity(connection).await?;
    let newest: Option<(String, bool)> = sqlx::query_as(
        "SELECT segment_id, database = $1 FROM recoup.change_segments
        WHERE status = 'sealed'
        ORDER BY exported_at DESC, sequence DESC
        LIMIT 1",
    )
    .bind(database)
    .persistent(false)
    .fetch_optional(connection)
    .await
    .map_err(failed)?;
    Ok(newest.filter(|(_, own)| *own).map(|(segment_id, _)| ChangesLink { segment_id }))
}

/// Takes back a link to a chain that another database goes on with: a copy of a server's disk knows the newest segment as
/// well as the original, and a replay from the copy's backup would be of the original's changes.
///
/// # Errors
/// [`ArchiveError::Database`], [`ArchiveError::Store`].
pub async fn prove(
    link: Option<ChangesLink>,
    options: &PgConnectOptions,
    store: &impl ObjectStore,
) -> Result<Option<ChangesLink>, ArchiveError> {
    let Some(link) = link else { return Ok(None) };
    let id: SegmentId = link.segment_id.parse().map_err(ArchiveError::InvalidRequest)?;
    let prefix = SegmentId::prefix(id.chain(), id.sequence() + 1);
    let next = list_segments(store, &prefix).await?;
    let sealed: Vec<String> =
        next.into_iter().filter(|(_, segment)| segment.sealed).map(|(id, _)| id.to_string()).collect();
    if sealed.is_empty() {
        return Ok(Some(link));
    }
    // Our own are written down before their manifests are stored.
    let mut connection = db::connect(options).await?;
    let known: i64 =
        sqlx::query_scalar("SELECT count(*) FROM recoup.change_segments WHERE segment_id = ANY ($1)")
            .bind(&sealed)
            .persistent(false)
            .fetch_one(&mut connection)
            .await
            .map_err(|error| ArchiveError::database("read where the changes stand", &error))?;
    if known == sealed.len() as i64 {
        return Ok(Some(link));
    }
    tracing::warn!(next = sealed[0], "another database goes on with this one's chain of changes");
    Ok(None)
}
