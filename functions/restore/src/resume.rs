//! `{"action":"resume"}`: goes on with a restore whose invocation had no time for all of it, lost its connection, or
//! was killed.

use std::sync::Arc;
use std::time::SystemTime;

use recoup::archive::reading::Backup;
use recoup::archive::restore::{Found, Restoring, Staging, State, find_restore};
use recoup::erasures::Records;
use recoup::failure::Failure;
use recoup::secrets::SecretStore;
use serde::Deserialize;

use crate::reply::Copy;
use crate::{Restore, RestoreReply};

/// A restore that is to go on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResumeRequest {
    restore_id: String,
    target_secret: Option<String>,
}

impl<S: SecretStore + Sync> Restore<S> {
    /// Goes on where it was.
    pub(crate) async fn resume(
        &self,
        request: ResumeRequest,
        deadline: SystemTime,
    ) -> Result<RestoreReply, Failure> {
        let target_secret = request.target_secret.as_deref();
        let target = self.target(target_secret).await?;
        let found = find_restore(&target.server, &request.restore_id).await?;
        if found.mark.state != State::Incomplete {
            return Err(finished(&request.restore_id, &found));
        }
        let mut staging = Staging::reopen(&target.server, &found.database).await?;
        let Some(order) = staging.order().await? else {
            // Another invocation may have finished it while this one waited for the database.
            let found = find_restore(&target.server, &request.restore_id).await?;
            if found.mark.state != State::Incomplete {
                return Err(finished(&request.restore_id, &found));
            }
            let message = format!(
                "resume restore {}: it ended before it had written down what it is to do; drop database {} and restore again",
                request.restore_id, found.database
            );
            return Err(Failure::new("RestoreNotBegun", message));
        };
        let id = order.backup_id.parse().map_err(Failure::invalid_request)?;
        let backup = Arc::new(Backup::open(Arc::clone(&self.store), id).await?);
        let identities = self.identities(&backup).await?;
        let opening = Restoring::open(target, order, Arc::clone(&backup), &identities);
        let Records { erasures, unreadable } = self.erasures().await?;
        let restoring = Box::pin(opening).await?.erasing(erasures);
        let (order, masks) = (restoring.order().clone(), restoring.masks().clone());
        let outcome = Box::pin(restoring.resume(staging, deadline)).await?;
        let copy = Copy { order, masks: &masks, unreadable, backup: &backup, target_secret };
        Box::pin(self.answer(outcome, copy, deadline)).await
    }
}

fn finished(restore_id: &str, found: &Found) -> Failure {
    let message = format!(
        "resume restore {restore_id}: it is finished, in database {} ({})",
        found.database, found.mark
    );
    Failure::new("RestoreFinished", message)
}
