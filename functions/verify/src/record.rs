//! The row in `recoup.verifications`: for people who query, and for `health`. A check is none the worse without it.

use recoup::archive::error::DatabaseReason;
use recoup::db;
use recoup::failure::Failure;
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use time::OffsetDateTime;

/// What a check came to.
pub(crate) struct Verification<'v> {
    pub(crate) action: &'static str,
    pub(crate) backup_id: Option<&'v str>,
    pub(crate) status: &'static str,
    pub(crate) started_at: OffsetDateTime,
    pub(crate) details: Value,
}

/// `failed` where what was checked is at fault, `error` where the check could not be carried out.
pub(crate) fn status_of(failure: &Failure) -> &'static str {
    let found = [
        "BackupDamaged",
        "BackupNotFound",
        "ChangesBroken",
        "RestoreNotEqual",
        "InvariantBroken",
        "SchemaDrift",
    ];
    if found.contains(&failure.error_type()) { "failed" } else { "error" }
}

/// Records a check.
///
/// # Errors
/// A sentence for the reply's warnings.
pub(crate) async fn record(
    options: &PgConnectOptions,
    verification: &Verification<'_>,
) -> Result<(), String> {
    let failed = |reason: String| {
        format!("the check is not recorded in recoup.verifications, which changes nothing about it: {reason}")
    };
    let mut connection = db::connect(options).await.map_err(|failure| failed(failure.to_string()))?;
    sqlx::query(
        "INSERT INTO recoup.verifications (action, backup_id, status, started_at, details)
        VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(verification.action)
    .bind(verification.backup_id)
    .bind(verification.status)
    .bind(verification.started_at)
    .bind(&verification.details)
    .persistent(false)
    .execute(&mut connection)
    .await
    .map_err(|error| failed(DatabaseReason::of(&error).to_string()))?;
    Ok(())
}
