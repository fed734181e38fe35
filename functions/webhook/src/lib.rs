//! `webhook`: proves the signature, stores the event and its effects in one commit, and answers 2xx only
//! after that commit. Everything else makes Stripe send again, and costs nothing.
//!
//! | request | answer |
//! |---|---|
//! | `POST /webhooks/stripe`, signed | 200 once it is committed, whatever became of it |
//! | the same, with a bad, stale or missing signature | 400, nothing stored |
//! | the same, larger than 1 MiB | 413 |
//! | the same, while Postgres cannot be used | 503 |
//! | `GET /health` | 200 or 503 with the part that fails |

mod health;
mod reply;
mod session;
mod signing;

use std::time::{Duration, Instant, SystemTime};

use lambda_http::http::{Method, StatusCode};
use lambda_http::{Body, Request, Response, service_fn};
use recoup::config::Env;
use recoup::events::receive::{Accounts, Outcome, Receipt, Rules};
use recoup::failure::Failure;
use recoup::secrets::{self, SecretStore};
use recoup::stripe::signature::SignatureError;
use recoup::stripe::{API_BASE, Client};

use crate::session::Session;
use crate::signing::Signing;

/// Stripe's events are far smaller; what is larger is nobody's.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// One attempt at Stripe's API while Stripe's own delivery waits.
const STRIPE_TIMEOUT: Duration = Duration::from_secs(3);

/// The receiver. One instance serves one request at a time.
pub struct Webhook {
    session: Session,
    signing: Signing,
    stripe: Client,
    rules: Rules,
}

impl Webhook {
    /// Reads the environment and the secrets that it names.
    ///
    /// # Errors
    /// Every variable that is missing, or the secret that cannot be used.
    pub async fn from_env(mut env: Env, store: &impl SecretStore) -> Result<Self, Failure> {
        let database_secret = env.required("DATABASE_SECRET_ID");
        let signing_secret = env.required("STRIPE_WEBHOOK_SECRET_ID");
        let api_secret = env.required("STRIPE_API_SECRET_ID");
        let rules = Rules {
            livemode: env.required_parsed("STRIPE_LIVEMODE", false),
            accounts: env.parsed("STRIPE_ACCOUNTS", Accounts::None),
        };
        let api_base = env.optional("STRIPE_API_BASE").unwrap_or_else(|| API_BASE.to_owned());
        env.finish()?;

        let (database_url, signing, api_key) = tokio::try_join!(
            secrets::database_url(store, &database_secret),
            secrets::signing_secrets(store, &signing_secret),
            secrets::stripe_api_key(store, &api_secret),
        )?;
        Ok(Self {
            session: Session::new(&database_url)?,
            signing: Signing::new(signing),
            stripe: Client::impatient(api_base, api_key.into(), STRIPE_TIMEOUT),
            rules,
        })
    }

    async fn answer(&self, request: &Request) -> Response<Body> {
        match (request.method(), request.uri().path()) {
            (&Method::POST, "/webhooks/stripe") => self.event(request).await,
            (&Method::GET, "/health") => self.health().await,
            (_, "/webhooks/stripe" | "/health") => reply::error(
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "this address takes POST /webhooks/stripe and GET /health",
            ),
            _ => reply::error(
                StatusCode::NOT_FOUND,
                "NotFound",
                "there is nothing here; Stripe's endpoint is POST /webhooks/stripe, the check is GET /health",
            ),
        }
    }

    async fn event(&self, request: &Request) -> Response<Body> {
        let started = Instant::now();
        let body: &[u8] = request.body();
        if body.len() > BODY_BYTES_MAX {
            tracing::warn!(body_bytes = body.len(), error_type = "BodyTooLarge", "request refused");
            return reply::error(StatusCode::PAYLOAD_TOO_LARGE, "BodyTooLarge", "a body has at most 1 MiB");
        }
        let endpoint = match self.verified_endpoint(request, body) {
            Ok(endpoint) => endpoint,
            Err(error) => {
                tracing::warn!(error_type = error.error_type(), "request refused");
                return reply::error(StatusCode::BAD_REQUEST, error.error_type(), &error.to_string());
            }
        };
        match self.session.receive(&self.stripe, &self.rules, body).await {
            Ok(receipt) => {
                log(&receipt, endpoint, started.elapsed());
                reply::received(&receipt)
            }
            Err(failure) => {
                tracing::error!(error_type = failure.error_type(), error = %failure, "event not written");
                reply::error(
                    StatusCode::SERVICE_UNAVAILABLE,
                    failure.error_type(),
                    "not stored; send it again",
                )
            }
        }
    }

    fn verified_endpoint(&self, request: &Request, body: &[u8]) -> Result<&str, SignatureError> {
        let header = match request.headers().get("stripe-signature") {
            Some(value) => Some(value.to_str().map_err(|_| SignatureError::Malformed)?),
            None => None,
        };
        self.signing.endpoint_of(header, body, SystemTime::now())
    }
}

/// One line an event: ids, types and times, nothing of what was paid or by whom.
fn log(receipt: &Receipt, endpoint: &str, elapsed: Duration) {
    let (outcome, reason) = match &receipt.outcome {
        Outcome::Applied => ("applied", None),
        Outcome::Duplicate => ("duplicate", None),
        Outcome::Ignored(reason) => ("ignored", Some(reason)),
        Outcome::Failed(reason) => ("failed", Some(reason)),
        Outcome::Dead(reason) => ("dead", Some(reason)),
    };
    let elapsed_us = elapsed.as_micros();
    let (event_id, event_type) = (&receipt.event_id, &receipt.event_type);
    match &receipt.outcome {
        Outcome::Failed(_) | Outcome::Dead(_) => {
            tracing::error!(
                event_id,
                event_type,
                outcome,
                reason,
                endpoint,
                elapsed_us,
                "event kept for another try"
            );
        }
        _ => tracing::info!(event_id, event_type, outcome, reason, endpoint, elapsed_us, "event received"),
    }
}

/// Serves until Lambda ends the process. A function that could not be set up answers every request with 503
/// and the reason's type; the reason itself, which may name secrets and hosts, is in its log.
///
/// # Errors
/// What the Lambda runtime itself could not do.
pub async fn serve(webhook: Result<Webhook, Failure>) -> Result<(), lambda_http::Error> {
    if let Err(failure) = &webhook {
        tracing::error!(error_type = failure.error_type(), error = %failure, "function not set up");
    }
    let webhook = &webhook;
    lambda_http::run(service_fn(async move |request: Request| -> Result<Response<Body>, Failure> {
        Ok(match webhook {
            Ok(webhook) => webhook.answer(&request).await,
            Err(failure) => reply::error(
                StatusCode::SERVICE_UNAVAILABLE,
                failure.error_type(),
                "the function is not set up; its log says what is missing",
            ),
        })
    }))
    .await
}
