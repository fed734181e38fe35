//! Where the chain of a database stands at the snapshot of a full backup.

use sqlx::PgConnection;

use super::position::database_identity;
use crate::archive::ArchiveError;
use crate::archive::manifest::ChangesLink;

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
