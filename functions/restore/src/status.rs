//! `{"action":"status"}`: how far a restore is.

use std::sync::Arc;

use recoup::archive::ArchiveError;
use recoup::archive::reading::Backup;
use recoup::archive::restore::{Standing, State, find_restore};
use recoup::failure::Failure;
use recoup::secrets::SecretStore;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Restore;
use crate::reply::{fit_for, next};

/// A restore that is asked about.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusRequest {
    restore_id: String,
    target_secret: Option<String>,
}

/// How far it is.
#[derive(Debug, Serialize)]
pub struct StatusReply {
    action: &'static str,
    restore_id: String,
    backup_id: String,
    target_database: String,
    /// `running`, an invocation is at it; `waiting`, for `next` to be invoked; `completed`.
    status: &'static str,
    /// What the copy may be used for; empty until it is complete.
    fit_for: &'static [&'static str],
    progress: Option<Standing>,
    /// The payload that goes on with it; null where there is nothing to go on with, or somebody is at it.
    next: Option<Value>,
}

impl<S: SecretStore + Sync> Restore<S> {
    /// Tells how far a restore is.
    pub(crate) async fn status(&self, request: StatusRequest) -> Result<StatusReply, Failure> {
        let target_secret = request.target_secret.as_deref();
        let target = self.target(target_secret).await?;
        let found = find_restore(&target.server, &request.restore_id).await?;
        let restore_id = found.mark.restore_id.clone().unwrap_or_default();
        let (mut status, mut progress, mut go_on) = ("completed", None, None);
        if found.mark.state == State::Incomplete {
            let id = found.mark.backup_id.parse().map_err(Failure::invalid_request)?;
            let is_running = found.is_running(&target.server).await?;
            // How far it is can be told only with the backup, which may be of another bucket, or gone.
            progress = match Backup::open(Arc::clone(&self.store), id).await {
                Ok(backup) => found.progress(&target.server, &backup.manifest).await?,
                Err(ArchiveError::BackupNotFound { .. }) => None,
                Err(error) => return Err(error.into()),
            };
            status = if is_running { "running" } else { "waiting" };
            go_on = (!is_running).then(|| next(&restore_id, target_secret));
        }
        Ok(StatusReply {
            action: "status",
            restore_id,
            backup_id: found.mark.backup_id,
            target_database: found.database,
            status,
            fit_for: fit_for(found.mark.state),
            progress,
            next: go_on,
        })
    }
}
