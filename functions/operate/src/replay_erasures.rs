//! `{"action":"replay_erasures"}`: whoever was erased is erased again, from what came since: a late event, a reconcile, a
//! copy that was restored by hand and went live.

use recoup::audit::{Mandate, dry, mandate, record};
use recoup::erasures::{Applied, apply_all};
use recoup::failure::Failure;
use recoup::secrets::SecretStore;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::Connection;

use crate::{Operate, database};

/// Erasures that are to be applied again.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayErasuresRequest {
    #[serde(default = "dry")]
    dry_run: bool,
    actor: Option<String>,
    reason: Option<String>,
}

/// What the function answers.
#[derive(Debug, Serialize)]
pub struct ReplayErasuresReply {
    dry_run: bool,
    status: &'static str,
    #[serde(flatten)]
    applied: Applied,
}

impl ReplayErasuresRequest {
    /// Who asks for it; none for a dry run.
    ///
    /// # Errors
    /// `InvalidRequest`.
    pub(crate) fn understood(self) -> Result<Option<Mandate>, Failure> {
        mandate(self.dry_run, self.actor, self.reason)
    }
}

impl<S: SecretStore + Sync> Operate<S> {
    /// Applies every erasure that the database knows.
    pub(crate) async fn replay_erasures(
        &self,
        request: ReplayErasuresRequest,
    ) -> Result<ReplayErasuresReply, Failure> {
        let mandate = request.understood()?;
        let failed = database("replay the erasures");
        let mut connection = self.connect().await?;
        let mut transaction = connection.begin().await.map_err(&failed)?;
        let applied = apply_all(&mut transaction, &[]).await.map_err(&failed)?;
        match &mandate {
            None => transaction.rollback().await.map_err(&failed)?,
            Some(mandate) => {
                if applied.found_somebody() {
                    let after = json!({"customers": applied.customers, "events": applied.events});
                    record(&mut transaction, mandate, "replay erasures", "erasures", &after)
                        .await
                        .map_err(&failed)?;
                }
                transaction.commit().await.map_err(&failed)?;
            }
        }
        Ok(ReplayErasuresReply { dry_run: mandate.is_none(), status: "completed", applied })
    }
}
