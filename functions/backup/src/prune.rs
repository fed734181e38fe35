//! The action `prune`: removes expired backups, and shows what it would remove unless it is told to do it.

use std::time::SystemTime;

use recoup::archive::inventory::Folder;
use recoup::archive::prune::{Prune, Pruned, Rule, Why};
use recoup::archive::store::S3Store;
use recoup::audit::{Mandate, dry};
use recoup::changes::prune::PrunedSegments;
use recoup::failure::Failure;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnectOptions;
use time::{Duration, OffsetDateTime};

/// A hundred years: what is older is a slip of the finger.
const DAYS_MAX: i64 = 36_500;

/// A prune that is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PruneRequest {
    #[serde(default = "dry")]
    dry_run: bool,
    actor: Option<String>,
    reason: Option<String>,
    older_than_days: Option<i64>,
    #[serde(default)]
    more_than_half: bool,
    #[serde(default)]
    without_recovery_points: bool,
}

impl PruneRequest {
    /// Who removes, and why; none for a dry run.
    ///
    /// # Errors
    /// `InvalidRequest`.
    pub(crate) fn check(&self) -> Result<Option<Mandate>, Failure> {
        if self.older_than_days.is_some_and(|days| !(1..=DAYS_MAX).contains(&days)) {
            return Err(Failure::invalid_request(format!(
                "older_than_days is a whole number of days from 1 to {DAYS_MAX}, for example 30: backups that are older are \
                 removed, whether they have expired or not. Example: {EXAMPLE}"
            )));
        }
        if self.dry_run {
            return Ok(None);
        }
        let given = |text: &Option<String>| {
            text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        match (given(&self.actor), given(&self.reason)) {
            (Some(actor), Some(reason)) => Ok(Some(Mandate { actor, reason })),
            _ => Err(Failure::invalid_request(format!(
                "a prune that removes needs actor and reason, for the audit log. Example: {EXAMPLE}"
            ))),
        }
    }
}

const EXAMPLE: &str = r#"{"action":"prune","dry_run":false,"actor":"ada","reason":"room for the new year"}"#;

/// What was removed, or would be.
#[derive(Debug, Serialize)]
pub struct PruneReply {
    action: &'static str,
    /// `completed`, or `partial` where the time was up: the next prune goes on.
    status: &'static str,
    dry_run: bool,
    /// Why the same call without `dry_run` would be refused.
    refusal: Option<String>,
    removed: Vec<Removed>,
    kept: Vec<Kept>,
    /// Folders without a manifest that may still be written.
    incomplete: Vec<String>,
    uploads_aborted: Vec<Upload>,
    bytes_freed: u64,
    /// Segments of changes that no instant needs any more.
    changes: PrunedSegments,
    /// Whether the bucket keeps what was removed as older versions, until its lifecycle rule drops them.
    versions_kept: bool,
    warnings: Vec<String>,
}

/// A backup, or what is left of one.
#[derive(Debug, Serialize)]
struct Listed {
    backup_id: String,
    backup_type: String,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
    bytes: u64,
}

impl From<&Folder> for Listed {
    fn from(folder: &Folder) -> Self {
        Self {
            backup_id: folder.id.to_string(),
            backup_type: folder.id.backup_type().to_owned(),
            created_at: folder.id.created_at(),
            expires_at: folder.expires_at(),
            bytes: folder.bytes,
        }
    }
}

#[derive(Debug, Serialize)]
struct Removed {
    #[serde(flatten)]
    backup: Listed,
    objects: u64,
    why: Why,
}

#[derive(Debug, Serialize)]
struct Kept {
    #[serde(flatten)]
    backup: Listed,
    rules: Vec<Rule>,
}

#[derive(Debug, Serialize)]
struct Upload {
    object: String,
    #[serde(with = "time::serde::rfc3339")]
    initiated_at: OffsetDateTime,
}

/// Carries it out.
///
/// # Errors
/// `InvalidRequest`, `PruneRefused`, `ClockSkew`, and what the store and the database answer.
pub(crate) async fn prune(
    store: &S3Store,
    database: &PgConnectOptions,
    point_in_time_window: Duration,
    request: PruneRequest,
    deadline: SystemTime,
) -> Result<PruneReply, Failure> {
    let author = request.check()?;
    let dry_run = author.is_none();
    let prune = Prune {
        store,
        database,
        without_recovery_points: request.without_recovery_points,
        now: OffsetDateTime::now_utc(),
        older_than: request.older_than_days.map(Duration::days),
        point_in_time_window,
        more_than_half: request.more_than_half,
        author,
    };
    Ok(reply(Box::pin(prune.run(deadline)).await?, dry_run))
}

fn reply(pruned: Pruned, dry_run: bool) -> PruneReply {
    let removed = |(folder, why): (Folder, Why)| Removed {
        backup: Listed::from(&folder),
        objects: folder.objects,
        why,
    };
    let kept = |(folder, rules): (Folder, Vec<Rule>)| Kept { backup: Listed::from(&folder), rules };
    let upload = |upload: recoup::archive::store::UnfinishedUpload| Upload {
        object: upload.key,
        initiated_at: upload.initiated_at,
    };
    PruneReply {
        action: "prune",
        status: if pruned.partial { "partial" } else { "completed" },
        dry_run,
        refusal: pruned.refusal,
        bytes_freed: pruned.removed.iter().map(|(folder, _)| folder.bytes).sum(),
        changes: pruned.changes,
        removed: pruned.removed.into_iter().map(removed).collect(),
        kept: pruned.kept.into_iter().map(kept).collect(),
        incomplete: pruned.incomplete.into_iter().map(|folder| folder.id.to_string()).collect(),
        uploads_aborted: pruned.uploads_aborted.into_iter().map(upload).collect(),
        versions_kept: pruned.versions_kept,
        warnings: pruned.warnings,
    }
}
