//! `{"action":"undo"}`: what was production before a swap is production again.

use recoup::audit::{dry, mandate};
use recoup::failure::Failure;
use recoup::promote::{Order, Swapped, undo};
use recoup::secrets::SecretStore;
use serde::{Deserialize, Serialize};

use crate::Restore;

/// A swap that is to be undone.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UndoRequest {
    target_database: Option<String>,
    #[serde(default = "dry")]
    dry_run: bool,
    actor: Option<String>,
    reason: Option<String>,
}

/// What the function answers.
#[derive(Debug, Serialize)]
pub struct UndoReply {
    dry_run: bool,
    #[serde(flatten)]
    swapped: Swapped,
}

impl<S: SecretStore + Sync> Restore<S> {
    /// Undoes a swap.
    pub(crate) async fn undo(&self, request: UndoRequest) -> Result<UndoReply, Failure> {
        let UndoRequest { target_database, dry_run, actor, reason } = request;
        let mandate = mandate(dry_run, actor, reason)?;
        let order = Order { database: target_database, force: None, mandate };
        let production = self.production().await?;
        let swapped = Box::pin(undo(&production, &order)).await?;
        Ok(UndoReply { dry_run, swapped })
    }
}
