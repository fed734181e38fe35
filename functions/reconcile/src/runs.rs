//! The runs of each scope that were made (`recoup.reconciliations`): where the next one begins follows from them.

use sqlx::PgConnection;
use time::OffsetDateTime;

/// A run that ended.
pub struct Ended {
    /// Of what.
    pub scope: &'static str,
    /// Whether it was of one account, or of objects with certain metadata.
    pub narrowed: bool,
    /// The window's first second.
    pub from: OffsetDateTime,
    /// The window's last second.
    pub to: OffsetDateTime,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// When it began.
    pub started: OffsetDateTime,
    /// `completed` or `partial`.
    pub status: &'static str,
    /// What Stripe listed.
    pub listed: u64,
    /// Of that, what was missing here or differed.
    pub missing: u64,
    /// Of that, what was put right.
    pub repaired: u64,
    /// And what could not be.
    pub failed: u64,
}

/// Notes a run.
///
/// # Errors
/// Postgres' own.
pub async fn record(connection: &mut PgConnection, run: &Ended) -> Result<(), sqlx::Error> {
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    sqlx::query(
        "insert into recoup.reconciliations
            (scope, narrowed, window_from, window_to, dry_run, started_at, status, listed, missing, repaired, failed)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(run.scope)
    .bind(run.narrowed)
    .bind(run.from)
    .bind(run.to)
    .bind(run.dry_run)
    .bind(run.started)
    .bind(run.status)
    .bind(count(run.listed))
    .bind(count(run.missing))
    .bind(count(run.repaired))
    .bind(count(run.failed))
    .execute(connection)
    .await?;
    Ok(())
}
