//! What a prune asks the database, and what it writes there: instants that must stay restorable, who asked for what,
//! and which rows of the cache have come to their end.

use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, Postgres, Transaction};
use time::OffsetDateTime;

use super::decision::Decision;
use crate::archive::error::{ArchiveError, DatabaseReason};
use crate::audit::Mandate;
use crate::changes::prune::PrunedSegments;
use crate::db;

/// An instant that has to stay restorable.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct RecoveryPoint {
    /// Its name.
    pub name: String,
    /// The instant.
    pub at: OffsetDateTime,
    /// The full backup that was the newest by then.
    pub backup_id: String,
}

/// Waiting for a table is no reason to fail at once, and none to wait for long.
const PATIENCE: &str = "SET LOCAL lock_timeout = '10s'; SET LOCAL statement_timeout = '30s'";

/// The points, and the database's clock.
pub(super) struct Asked {
    pub points: Vec<RecoveryPoint>,
    pub now: OffsetDateTime,
}

/// Asks for the recovery points.
///
/// # Errors
/// With what to do where the database cannot be asked.
pub(super) async fn ask(options: &PgConnectOptions) -> Result<Asked, ArchiveError> {
    let asked = async {
        let mut connection = db::connect(options).await?;
        let failed = |error: sqlx::Error| ArchiveError::database("read the recovery points", &error);
        let mut transaction = begin(&mut connection).await.map_err(failed)?;
        let points = points(&mut transaction).await.map_err(failed)?;
        let now = sqlx::query_scalar("SELECT clock_timestamp()")
            .persistent(false)
            .fetch_one(&mut *transaction)
            .await
            .map_err(failed)?;
        Ok(Asked { points, now })
    };
    asked.await.map_err(unasked)
}

async fn begin(connection: &mut PgConnection) -> Result<Transaction<'_, Postgres>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql(PATIENCE).execute(&mut *transaction).await?;
    Ok(transaction)
}

async fn points(connection: &mut PgConnection) -> Result<Vec<RecoveryPoint>, sqlx::Error> {
    sqlx::query_as("SELECT name, at, backup_id FROM recoup.recovery_points ORDER BY name")
        .persistent(false)
        .fetch_all(connection)
        .await
}

fn unasked(error: ArchiveError) -> ArchiveError {
    ArchiveError::CleanedUp {
        error: Box::new(error),
        outcome:
            "Nothing was removed, for a recovery point may pin any backup: bring the database back (its \
                  migrations have to be applied), or, where it is lost for good, prune with \
                  \"without_recovery_points\": true"
                .to_owned(),
    }
}

/// Commits to a decision before anything is removed: it goes to the audit log, and the rows of what goes are marked,
/// so that no recovery point that is made from now on relies on them. Gives the points as they are at that moment;
/// where they are others than those decided by, nothing is written.
///
/// # Errors
/// As [`ask`].
pub(super) async fn commit(
    options: &PgConnectOptions,
    decision: &Decision,
    changes: &PrunedSegments,
    decided_by: &[RecoveryPoint],
    author: &Mandate,
) -> Result<Vec<RecoveryPoint>, ArchiveError> {
    let committed = async {
        let mut connection = db::connect(options).await?;
        let failed = |error: sqlx::Error| ArchiveError::database("write the prune down", &error);
        let mut transaction = begin(&mut connection).await.map_err(failed)?;
        // Whoever makes a point waits until this transaction ends, and then sees the marks.
        sqlx::raw_sql("LOCK TABLE recoup.recovery_points IN SHARE MODE")
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        let points = points(&mut transaction).await.map_err(failed)?;
        if points != decided_by {
            return Ok(points);
        }
        write_audit(&mut transaction, decision, changes, author).await.map_err(failed)?;
        if let Err(error) = mark(&mut transaction, decision).await {
            let reason = DatabaseReason::of(&error);
            tracing::warn!(%reason, "recoup.backups does not show what is pruned; backup {{\"action\":\"rebuild\"}} repairs it");
        }
        transaction.commit().await.map_err(failed)?;
        Ok(points)
    };
    committed.await.map_err(unasked)
}

/// Writes who removes what, where the recovery points are not asked for.
///
/// # Errors
/// A sentence for the reply's warnings.
pub(super) async fn commit_without_points(
    options: &PgConnectOptions,
    decision: &Decision,
    changes: &PrunedSegments,
    author: &Mandate,
) -> Result<(), String> {
    let failed = |reason: String| {
        format!("the prune is not in recoup.audit_log, only in the function's log: {reason}")
    };
    let mut connection = db::connect(options).await.map_err(|failure| failed(failure.to_string()))?;
    let refused = |error: sqlx::Error| failed(DatabaseReason::of(&error).to_string());
    let mut transaction = begin(&mut connection).await.map_err(refused)?;
    write_audit(&mut transaction, decision, changes, author).await.map_err(refused)?;
    // As far as there is a cache to mark.
    let _ = mark(&mut transaction, decision).await;
    transaction.commit().await.map_err(refused)
}

async fn write_audit(
    connection: &mut PgConnection,
    decision: &Decision,
    changes: &PrunedSegments,
    author: &Mandate,
) -> Result<(), sqlx::Error> {
    let removed: Vec<_> = decision
        .remove
        .iter()
        .map(|(folder, why)| json!({"backup_id": folder.id.as_str(), "why": why, "bytes": folder.bytes}))
        .collect();
    sqlx::query(
        "INSERT INTO recoup.audit_log (actor, action, subject, reason, before)
        VALUES ($1, 'prune', 'backups', $2, $3)",
    )
    .bind(&author.actor)
    .bind(&author.reason)
    .bind(json!({"removed": removed, "changes": changes}))
    .persistent(false)
    .execute(connection)
    .await?;
    Ok(())
}

/// The table is a cache that may be missing: then the rest of the transaction stands.
async fn mark(transaction: &mut Transaction<'_, Postgres>, decision: &Decision) -> Result<(), sqlx::Error> {
    let ids: Vec<&str> = decision.remove.iter().map(|(folder, _)| folder.id.as_str()).collect();
    let mut within = transaction.begin().await?;
    sqlx::query(
        "UPDATE recoup.backups SET status = 'pruned' WHERE backup_id = ANY ($1) AND status IN ('completed', 'gone')",
    )
    .bind(ids)
    .persistent(false)
    .execute(&mut *within)
    .await?;
    sqlx::query("SELECT recoup.cleanup_expired_backups()").persistent(false).execute(&mut *within).await?;
    within.commit().await
}
