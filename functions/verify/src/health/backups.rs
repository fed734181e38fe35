//! The bucket: how old the newest backup of each kind is, and whether the newest is encrypted.

use std::sync::Arc;

use recoup::archive::ArchiveError;
use recoup::archive::reading::Backup;
use recoup::archive::store::S3Store;
use recoup::archive::summary::{ListedBackup, list_backups};
use recoup::failure::Failure;
use recoup::telemetry::metrics::{Metric, Unit};
use serde_json::{Map, json};
use time::OffsetDateTime;

use super::{Expectations, Part, Seen, Status};
use crate::signals::count;

const LATE: &str =
    "take a backup now (RUNBOOK, Take a backup now), and read the log of the last scheduled run";
const UNREADABLE: &str =
    "check that the bucket can be reached and that its newest backup is whole: verify {\"action\":\"full\"}";
const PLAINTEXT: &str = "set BACKUP_AGE_RECIPIENTS and take BACKUP_ENCRYPTION=none away: whoever reads the bucket reads every row";

pub(crate) async fn backups(store: &Arc<S3Store>, expected: &Expectations, now: OffsetDateTime) -> Seen {
    let mut seen = Seen::default();
    let list = match list_backups(&**store).await {
        Ok(list) => list.backups,
        Err(error) => {
            seen.parts.insert("backups", Part::unseen(&error.into(), UNREADABLE));
            return seen;
        }
    };
    // A window is no backup of the whole kind.
    let newest = |kind: &str| list.iter().find(|backup| backup.backup_type == kind && !backup.partial);
    let (mut kinds, mut late) = (Map::new(), 0);
    for (kind, age_max) in &expected.backup_age {
        let found = newest(kind);
        let age = found.map(|backup| now - backup.created_at);
        let is_late = age.is_none_or(|age| age > *age_max);
        late += u64::from(is_late);
        let known = json!({
            "newest": found.map(|backup| &backup.backup_id),
            "age_seconds": age.map(|age| age.whole_seconds()),
            "age_seconds_max": age_max.whole_seconds(),
            "met": !is_late,
        });
        kinds.insert(kind.clone(), known);
    }
    let status = if late == 0 { Status::Ok } else { Status::Failing };
    seen.parts.insert("backups", Part::new(status, json!({"kinds": kinds}), LATE));
    seen.metrics.push(count("BackupsLate", late));
    if let Some(full) = newest("full") {
        let age = (now - full.created_at).as_seconds_f64().max(0.0).round();
        seen.metrics.push(Metric::new("BackupAgeSeconds", Unit::Seconds, age));
    }
    if let Some(last) = list.first() {
        seen.parts.insert("encryption", encryption(store, last).await);
    }
    seen
}

/// The newest backup's manifest says how it was written.
async fn encryption(store: &Arc<S3Store>, last: &ListedBackup) -> Part {
    let opened = match last.backup_id.parse() {
        Ok(id) => Backup::open(Arc::clone(store), id).await,
        Err(reason) => Err(ArchiveError::InvalidRequest(reason)),
    };
    match opened {
        Ok(backup) => {
            let method = &backup.manifest.encryption.method;
            let status = if method == "none" { Status::Degraded } else { Status::Ok };
            let known = json!({"backup_id": last.backup_id, "method": method, "plaintext": method == "none"});
            Part::new(status, known, PLAINTEXT)
        }
        Err(error) => Part::unseen(&Failure::from(error), UNREADABLE),
    }
}
