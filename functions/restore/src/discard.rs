//! `{"action":"discard"}`: a copy is dropped.

use recoup::audit::{dry, mandate};
use recoup::failure::Failure;
use recoup::promote::{Discarded, Order, discard};
use recoup::secrets::SecretStore;
use serde::{Deserialize, Serialize};

use crate::Restore;

/// A copy that is not needed any more.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiscardRequest {
    target_database: String,
    force: Option<String>,
    #[serde(default = "dry")]
    dry_run: bool,
    actor: Option<String>,
    reason: Option<String>,
}

/// What the function answers.
#[derive(Debug, Serialize)]
pub struct DiscardReply {
    dry_run: bool,
    #[serde(flatten)]
    discarded: Discarded,
}

impl<S: SecretStore + Sync> Restore<S> {
    /// Drops a copy.
    pub(crate) async fn discard(&self, request: DiscardRequest) -> Result<DiscardReply, Failure> {
        let DiscardRequest { target_database, force, dry_run, actor, reason } = request;
        let mandate = mandate(dry_run, actor, reason)?;
        let order = Order { database: Some(target_database), force, mandate };
        let production = self.production().await?;
        let discarded = Box::pin(discard(&production, &order)).await?;
        Ok(DiscardReply { dry_run, discarded })
    }
}
