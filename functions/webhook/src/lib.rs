//! `webhook`: proves the signature, stores the event and its effects in one commit, and answers 2xx only
//! after that commit. Everything else makes Stripe send again, and costs nothing.
//!
//! | request | answer |
//! |---|---|
//! | `POST /webhooks/stripe`, signed | 200 once it is committed, whatever became of it |
//! | the same, with a bad, stale or missing signature | 400, nothing stored |
//! | the same, larger than 1 MiB | 413 |
//! | the same, while Postgres cannot be used | 503 |
//! | `GET /health` | 200 or 503 with the part that fails; signed, whether the signature is accepted |
//! | an event from Stripe's Amazon EventBridge destination | success once it is committed, else a function error |

mod health;
mod invocation;
mod line_items;
mod reply;
mod serve;
mod session;
mod signals;
mod signing;

use std::time::Instant;

use recoup::config::Env;
use recoup::events::inbox::Source;
use recoup::events::receive::{Accounts, Rules};
use recoup::failure::Failure;
use recoup::secrets::SecretStore;
use recoup::stripe::API_BASE;
use recoup::telemetry::metrics::Output;
use serde_json::value::RawValue;

use crate::invocation::{HttpRequest, Invocation};
use crate::line_items::StripeApi;
pub use crate::reply::Reply;
pub use crate::serve::serve;
use crate::session::{Pooler, Session};
use crate::signals::Signals;
use crate::signing::Signing;

/// Stripe's events are far smaller; what is larger is nobody's.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// The receiver. One instance serves one request at a time.
pub struct Webhook<S> {
    store: S,
    session: Session,
    signing: Signing,
    stripe: StripeApi,
    rules: Rules,
    signals: Signals,
}

impl<S: SecretStore + Sync> Webhook<S> {
    /// Reads the environment and the secrets that it names; metrics go to `output`.
    ///
    /// # Errors
    /// Every variable that is missing, or the secret that cannot be used.
    pub async fn from_env(mut env: Env, store: S, output: Output) -> Result<Self, Failure> {
        let database_secret = env.required("DATABASE_SECRET_ID");
        let signing_secret = env.required("STRIPE_WEBHOOK_SECRET_ID");
        let api_secret = env.required("STRIPE_API_SECRET_ID");
        let rules = Rules {
            livemode: env.required_parsed("STRIPE_LIVEMODE", false),
            accounts: env.parsed("STRIPE_ACCOUNTS", Accounts::None),
        };
        let api_base = env.optional("STRIPE_API_BASE").unwrap_or_else(|| API_BASE.to_owned());
        let pooler = env.parsed("DATABASE_POOLER", Pooler::None);
        let signals = Signals::from_env(&mut env, output);
        env.finish()?;

        let (session, signing, stripe) = tokio::try_join!(
            Session::read(&store, database_secret, pooler),
            Signing::read(&store, signing_secret),
            StripeApi::read(&store, api_secret, api_base),
        )?;
        Ok(Self { store, session, signing, stripe, rules, signals })
    }

    /// Answers one invocation.
    ///
    /// # Errors
    /// `InvalidRequest` for a payload of another kind; why an event of EventBridge could not be committed, so that
    /// it is sent again. HTTP hears of failures by status.
    pub async fn invoke(&self, payload: &RawValue) -> Result<Reply, Failure> {
        match Invocation::read(payload)? {
            Invocation::Http(request) => Ok(self.answer(&request).await),
            Invocation::Partner(event) => {
                self.receive(Source::EventBridge, "eventbridge", event, Instant::now()).await
            }
        }
    }

    async fn answer(&self, request: &HttpRequest) -> Reply {
        match (request.method(), request.path()) {
            ("POST", "/webhooks/stripe") => self.delivery(request).await,
            ("GET", "/health") => self.health(request.signature()).await,
            (_, "/webhooks/stripe" | "/health") => Reply::error(
                405,
                "MethodNotAllowed",
                "this address takes POST /webhooks/stripe and GET /health",
            ),
            _ => Reply::error(
                404,
                "NotFound",
                "there is nothing here; Stripe's endpoint is POST /webhooks/stripe, the check is GET /health",
            ),
        }
    }

    async fn delivery(&self, request: &HttpRequest) -> Reply {
        let started = Instant::now();
        let body = request.body();
        if body.len() > BODY_BYTES_MAX {
            self.signals.refused("BodyTooLarge", started.elapsed());
            return Reply::error(413, "BodyTooLarge", "a body has at most 1 MiB");
        }
        let endpoint = match self.signing.endpoint_of(&self.store, request.signature(), body).await {
            Ok(endpoint) => endpoint,
            Err(error) => {
                self.signals.refused(error.error_type(), started.elapsed());
                return Reply::error(400, error.error_type(), &error.to_string());
            }
        };
        self.receive(Source::Webhook, &endpoint, body, started)
            .await
            .unwrap_or_else(|failure| Reply::error(503, failure.error_type(), "not stored; send it again"))
    }

    /// The one way of an event whose origin is proven.
    async fn receive(
        &self,
        source: Source,
        door: &str,
        body: &[u8],
        started: Instant,
    ) -> Result<Reply, Failure> {
        let lines = self.stripe.line_items(&self.store);
        let received = self.session.receive(&self.store, &lines, &self.rules, source, body).await;
        match received {
            Ok(receipt) => {
                self.signals.committed(&receipt, door, started.elapsed());
                Ok(Reply::received(&receipt))
            }
            Err(failure) => {
                self.signals.not_stored(&failure, door, started.elapsed());
                Err(failure)
            }
        }
    }
}
