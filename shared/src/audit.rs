//! Who asks for a change, and why: without that nothing is changed.

use serde_json::Value;
use sqlx::PgConnection;

use crate::failure::Failure;

/// Who asks for a change, and why.
#[derive(Debug, Clone)]
pub struct Mandate {
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// What a request's `dry_run` is where it does not say: nothing is changed without `"dry_run": false`.
pub fn dry() -> bool {
    true
}

/// Who and why, of a request; none where nothing is to be changed.
///
/// # Errors
/// `InvalidRequest` where a change has nobody who asks for it, or no reason.
pub fn mandate(
    dry_run: bool,
    actor: Option<String>,
    reason: Option<String>,
) -> Result<Option<Mandate>, Failure> {
    let given = |field: Option<String>| field.filter(|text| !text.trim().is_empty());
    match (dry_run, given(actor), given(reason)) {
        (true, ..) => Ok(None),
        (false, Some(actor), Some(reason)) => Ok(Some(Mandate { actor, reason })),
        (false, ..) => Err(Failure::invalid_request(
            "a change needs actor (who asks for it) and reason (why): both go to recoup.audit_log",
        )),
    }
}

/// Writes a change to `recoup.audit_log`, in the transaction that makes it.
///
/// # Errors
/// Postgres' own.
pub async fn record(
    connection: &mut PgConnection,
    mandate: &Mandate,
    action: &str,
    subject: &str,
    after: &Value,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into recoup.audit_log (actor, action, subject, reason, after) values ($1, $2, $3, $4, $5)",
    )
    .bind(&mandate.actor)
    .bind(action)
    .bind(subject)
    .bind(&mandate.reason)
    .bind(after)
    .persistent(false)
    .execute(connection)
    .await?;
    Ok(())
}
