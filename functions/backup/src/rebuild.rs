//! The action `rebuild`: fills `recoup.backups` again from the bucket.

use recoup::archive::rebuild::{Rebuilt, rebuild as fill};
use recoup::archive::store::S3Store;
use recoup::failure::Failure;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnectOptions;

/// A rebuild that is asked for. The table is a cache: it is not dry unless that is said.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RebuildRequest {
    #[serde(default)]
    dry_run: bool,
}

/// What was changed, or would be.
#[derive(Debug, Serialize)]
pub struct RebuildReply {
    action: &'static str,
    status: &'static str,
    dry_run: bool,
    inserted: Vec<String>,
    corrected: Vec<Corrected>,
    /// Rows of backups that the bucket has no more: now `gone`.
    gone: Vec<String>,
    /// Rows of runs that died: now `failed`.
    died: Vec<String>,
    unchanged: usize,
}

#[derive(Debug, Serialize)]
struct Corrected {
    backup_id: String,
    columns: Vec<&'static str>,
}

/// Carries it out.
///
/// # Errors
/// What the store and the database answer.
pub(crate) async fn rebuild(
    store: &S3Store,
    database: &PgConnectOptions,
    request: RebuildRequest,
) -> Result<RebuildReply, Failure> {
    let Rebuilt { inserted, corrected, gone, died, unchanged } =
        fill(store, database, request.dry_run).await?;
    let corrected = corrected.into_iter().map(|(backup_id, columns)| Corrected { backup_id, columns });
    Ok(RebuildReply {
        action: "rebuild",
        status: "completed",
        dry_run: request.dry_run,
        inserted,
        corrected: corrected.collect(),
        gone,
        died,
        unchanged,
    })
}
