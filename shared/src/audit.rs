//! The audit log: who changed what, why, from what to what. Written for every change by a person or a
//! repair, in the same transaction as the change.

use serde_json::Value;
use sqlx::PgConnection;

/// One entry of `recoup.audit_log`.
pub struct Entry<'a> {
    /// A person, or the function that acted on a schedule (`reconcile`).
    pub actor: &'a str,
    /// What was done, as a verb phrase (`apply missing event`).
    pub action: &'a str,
    /// The object that was changed (`event evt_…`).
    pub subject: &'a str,
    /// Why.
    pub reason: &'a str,
    /// What was there, if anything was.
    pub before: Option<Value>,
    /// What is there now.
    pub after: Option<Value>,
}

/// Writes an entry.
///
/// # Errors
/// Postgres' own.
pub async fn record(connection: &mut PgConnection, entry: Entry<'_>) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into recoup.audit_log (actor, action, subject, reason, before, after) values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(entry.actor)
    .bind(entry.action)
    .bind(entry.subject)
    .bind(entry.reason)
    .bind(entry.before)
    .bind(entry.after)
    .execute(connection)
    .await?;
    Ok(())
}
