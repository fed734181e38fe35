//! `drill`: a backup is restored into a scratch database, proven equal, judged by the rules for its rows, and dropped.
//!
//! Production is not touched. How long it took is how long a real recovery takes, up to the moment when the copy is
//! proven.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use recoup::archive::ArchiveError;
use recoup::archive::encryption::Identities;
use recoup::archive::names::key_timestamp;
use recoup::archive::reading::Backup;
use recoup::archive::restore::{Order, Rebuilt, RestoreTarget, Restoring, drop_leftovers};
use recoup::archive::session::open_reading;
use recoup::archive::store::S3Store;
use recoup::failure::Failure;
use recoup::invariants::violations;
use serde::Serialize;
use sqlx::postgres::PgConnectOptions;
use time::OffsetDateTime;

use crate::database::{invariants_broken, lack};

/// What the copies' names begin with. A copy that no session uses is dropped by the next drill.
const PREFIX: &str = "recoup_drill_";

/// What is kept back of the invocation's time to drop the copy.
const CLEAN_UP_TIME: Duration = Duration::from_secs(15);

/// How much of the backup's last minutes is not judged: its snapshot may lie between events of one sale.
const SETTLE_TIME: time::Duration = time::Duration::hours(1);

/// What `drill` answers about a backup that came back.
#[derive(Debug, Serialize)]
pub struct DrillReply {
    action: &'static str,
    backup_id: String,
    status: &'static str,
    /// From the first byte read to the copy proven equal.
    pub(crate) recovery_seconds: f64,
    tables: usize,
    record_count: u64,
    bytes_raw: u64,
    /// `hold`, or why they were not asked.
    invariants: String,
    /// Copies of earlier drills that were killed.
    leftovers_dropped: Vec<String>,
}

/// A drill and the warnings of its restore.
pub(crate) struct Drilled {
    pub(crate) reply: DrillReply,
    pub(crate) warnings: Vec<String>,
}

pub(crate) async fn drill(
    target: RestoreTarget,
    backup: &Arc<Backup<S3Store>>,
    identities: &Identities,
    deadline: SystemTime,
) -> Result<Drilled, Failure> {
    let leftovers_dropped = drop_leftovers(&target.server, PREFIX).await?;
    let began_at = OffsetDateTime::now_utc();
    let time = key_timestamp(began_at).to_ascii_lowercase();
    let database = format!("{PREFIX}{time}_{:08x}", rand::random::<u32>());
    let order = Order {
        restore_id: database.clone(),
        backup_id: backup.id.to_string(),
        began_at,
        tables: None,
        wanted: None,
        target: None,
        masking: None,
    };
    let restoring = Restoring::open(target, order, Arc::clone(backup), identities).await?;
    let Rebuilt { staging, tables, elapsed, .. } = Box::pin(restoring.rebuild(&database, deadline)).await?;

    let time_left =
        deadline.duration_since(SystemTime::now()).unwrap_or_default().saturating_sub(CLEAN_UP_TIME);
    let judged = match tokio::time::timeout(time_left, judge(&staging.options, backup)).await {
        Ok(judged) => judged,
        Err(_) => Err(ArchiveError::TimeLimit { operation: "check the invariants of the copy" }.into()),
    };
    let dropped = staging.drop_database().await;
    let invariants = judged?;
    dropped?;
    let reply = DrillReply {
        action: "drill",
        backup_id: backup.id.to_string(),
        status: "recovered",
        recovery_seconds: elapsed.as_secs_f64(),
        tables: tables.len(),
        record_count: backup.manifest.totals.rows,
        bytes_raw: backup.manifest.totals.bytes_raw,
        invariants,
        leftovers_dropped,
    };
    Ok(Drilled { reply, warnings: staging.warnings })
}

/// Asks the rules of the copy, where its tables are those that the rules know.
async fn judge(copy: &PgConnectOptions, backup: &Backup<S3Store>) -> Result<String, Failure> {
    if !backup.manifest.is_everything() {
        return Ok("not asked, for the copy is a part of a database".to_owned());
    }
    let mut connection = open_reading(copy, None).await?;
    if let Some(lack) = lack(&mut connection).await? {
        return Ok(format!("not asked, for the copy's tables are of another version: {lack}"));
    }
    let settled_before = backup.manifest.snapshot.taken_at - SETTLE_TIME;
    let broken = violations(&mut connection, settled_before).await?;
    if broken.is_empty() {
        return Ok("hold".to_owned());
    }
    let operation = format!("check the rows of backup {}, which was restored and proven equal", backup.id);
    Err(invariants_broken(&operation, &broken))
}
