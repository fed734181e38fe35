//! What a promote leaves in `recoup.audit_log`.

use serde_json::Value;
use sqlx::{PgConnection, Row};

use super::error::PromoteError;
use crate::audit::Mandate;

/// One row of the log.
pub struct Entry<'a> {
    /// What was done.
    pub action: &'a str,
    /// To what.
    pub subject: &'a str,
    /// For whom.
    pub mandate: &'a Mandate,
    /// What there was.
    pub before: Value,
    /// What there is; its `promote_id` names the run.
    pub after: Value,
}

/// Writes the row once: what has the same action and `promote_id` is there already. Gives whether the database has the log.
///
/// # Errors
/// [`PromoteError::Archive`].
pub async fn record(connection: &mut PgConnection, entry: &Entry<'_>) -> Result<bool, PromoteError> {
    let failed = |error: sqlx::Error| PromoteError::database("write to recoup.audit_log", &error);
    let there: bool = sqlx::query("SELECT pg_catalog.to_regclass('recoup.audit_log') IS NOT NULL")
        .persistent(false)
        .fetch_one(&mut *connection)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(failed)?;
    if !there {
        return Ok(false);
    }
    sqlx::query(
        "INSERT INTO recoup.audit_log (actor, action, subject, reason, before, after)
        SELECT $1, $2, $3, $4, $5, $6
        WHERE NOT EXISTS (
            SELECT FROM recoup.audit_log AS a
            WHERE a.subject = $3 AND a.action = $2 AND a.after ->> 'promote_id' = ($6::jsonb) ->> 'promote_id'
        )",
    )
    .bind(&entry.mandate.actor)
    .bind(entry.action)
    .bind(entry.subject)
    .bind(&entry.mandate.reason)
    .bind(&entry.before)
    .bind(&entry.after)
    .persistent(false)
    .execute(connection)
    .await
    .map_err(failed)?;
    Ok(true)
}
