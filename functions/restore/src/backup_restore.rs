//! `{"action":"backup_restore"}`: rebuilds a backup in a database of its own, and proves it equal.

use std::sync::Arc;
use std::time::SystemTime;

use recoup::archive::manifest::SelectionEntry;
use recoup::archive::names::key_timestamp;
use recoup::archive::reading::Backup;
use recoup::archive::restore::{Difference, RestoreTarget, Restored, RestoredTable, check_name};
use recoup::archive::store::S3Store;
use recoup::archive::summary::find_backup;
use recoup::failure::Failure;
use recoup::secrets::SecretStore;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::Restore;

/// A backup that is to be restored.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupRestoreRequest {
    backup_id: String,
    target_database: Option<String>,
}

/// What the function answers about a copy that is equal.
#[derive(Debug, Serialize)]
pub struct BackupRestoreReply {
    restore_id: String,
    backup_id: String,
    backup_type: String,
    target_database: String,
    status: &'static str,
    /// Whether the copy holds the rows of a window only.
    partial: bool,
    /// What the copy may be used for: `promote` only where it holds everything.
    fit_for: &'static [&'static str],
    /// Which part of the database it is; absent where it is everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    selection: Option<SelectionEntry>,
    tables: Vec<RestoredTable>,
    difference_to_production: Difference,
    unsupported: Vec<String>,
    warnings: Vec<String>,
    elapsed_seconds: f64,
    rate: Rate,
}

/// How fast it went.
#[derive(Debug, Serialize)]
pub struct Rate {
    rows_per_second: f64,
    megabytes_per_second: f64,
}

impl<S: SecretStore + Sync> Restore<S> {
    /// Restores a backup.
    pub(crate) async fn backup_restore(
        &self,
        request: BackupRestoreRequest,
        deadline: SystemTime,
    ) -> Result<BackupRestoreReply, Failure> {
        let began_at = OffsetDateTime::now_utc();
        let restore_id = format!("{}-restore-{:08x}", key_timestamp(began_at), rand::random::<u32>());
        let database = request.target_database.unwrap_or_else(|| {
            format!("recoup_restore_{}", key_timestamp(began_at).trim_end_matches('Z').to_ascii_lowercase())
        });
        check_name(&database)?;
        let id = find_backup(&*self.store, &request.backup_id).await?;
        let backup = Arc::new(Backup::open(Arc::clone(&self.store), id).await?);
        let identities = self.identities(&backup).await?;
        let target =
            RestoreTarget { production: self.production().await?, connections: self.connections.max(1) };
        let work = target.restore(Arc::clone(&backup), &identities, &restore_id, &database, deadline);
        let restored = Box::pin(work).await?;
        Ok(reply(restore_id, &backup, restored))
    }
}

fn reply(restore_id: String, backup: &Backup<S3Store>, restored: Restored) -> BackupRestoreReply {
    let seconds = restored.elapsed.as_secs_f64().max(f64::EPSILON);
    let totals = backup.manifest.totals;
    BackupRestoreReply {
        restore_id,
        backup_id: backup.id.to_string(),
        backup_type: backup.manifest.backup_type.clone(),
        partial: backup.manifest.partial,
        fit_for: if backup.manifest.is_everything() { &["promote", "merge"] } else { &["merge"] },
        selection: backup.manifest.selection.clone(),
        target_database: restored.database,
        status: "completed",
        tables: restored.tables,
        difference_to_production: restored.difference,
        unsupported: backup.manifest.unsupported.clone(),
        warnings: restored.warnings,
        elapsed_seconds: seconds,
        rate: Rate {
            rows_per_second: totals.rows as f64 / seconds,
            megabytes_per_second: totals.bytes_raw as f64 / 1e6 / seconds,
        },
    }
}
