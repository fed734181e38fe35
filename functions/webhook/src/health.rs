//! `GET /health`: is the way from Stripe to Postgres open?

use lambda_http::http::StatusCode;
use lambda_http::{Body, Response};
use serde_json::json;

use crate::{Webhook, reply};

impl Webhook {
    /// Checks Postgres, its tables and the signing secrets. The answer names the part that fails and no more:
    /// anyone may ask.
    pub(crate) async fn health(&self) -> Response<Body> {
        let database = self.session.check().await;
        if let Err(failure) = &database {
            tracing::error!(error_type = failure.error_type(), error = %failure, "health check failed");
        }
        let (status, word, db) = match &database {
            Ok(()) => (StatusCode::OK, "ok", "connected"),
            Err(failure) => (StatusCode::SERVICE_UNAVAILABLE, "failing", failure.error_type()),
        };
        let body = json!({
            "status": word,
            "db": db,
            "stripe": "configured",
            "signing_secrets": self.signing.accepted(),
            "livemode": self.rules.livemode,
            "version": env!("CARGO_PKG_VERSION"),
        });
        reply::json(status, &body)
    }
}
