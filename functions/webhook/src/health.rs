//! `GET /health`: is the way from Stripe to Postgres open?

use recoup::secrets::SecretStore;
use serde_json::json;

use crate::Webhook;
use crate::reply::Reply;

impl<S: SecretStore + Sync> Webhook<S> {
    /// Checks Postgres, its tables and the signing secrets. The answer names the part that fails and no more:
    /// anyone may ask. Who signs the empty body hears whether that secret is accepted, as a rotation does: it is what a
    /// delivery would tell as well.
    pub(crate) async fn health(&self, signature: Option<&str>) -> Reply {
        let signature = match signature {
            None => None,
            Some(header) => match self.signing.endpoint_of(&self.store, Some(header), b"").await {
                Ok(_) => Some("accepted"),
                Err(error) => Some(error.error_type()),
            },
        };
        let database = self.session.check(&self.store).await;
        if let Err(failure) = &database {
            tracing::error!(error_type = failure.error_type(), error = %failure, "health check failed");
        }
        let (status, word, db) = match &database {
            Ok(()) => (200, "ok", "connected"),
            Err(failure) => (503, "failing", failure.error_type()),
        };
        let mut body = json!({
            "status": word,
            "db": db,
            "stripe": "configured",
            "signing_secrets": self.signing.accepted(),
            "livemode": self.rules.livemode,
            "version": env!("CARGO_PKG_VERSION"),
        });
        if let Some(signature) = signature {
            body["signature"] = signature.into();
        }
        Reply::json(status, &body)
    }
}
