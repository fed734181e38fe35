//! The rotate function: gives a secret a new value, in the four steps of Secrets Manager, without a dropped request.
//!
//! | kind | new value | both work |
//! |---|---|---|
//! | `database` | the other of two users, with a new password | until the next rotation |
//! | `stripe_webhook` | the signing secret of a new endpoint at Stripe, for the same URL and events | until the overlap ends |
//! | `backup_key` | a new age identity before the old ones, which stay | always |
//! | `stripe_api_key` | the key that the operator put there as pending, proven | until the operator revokes the old one |
//!
//! **Crashes.** What a rotation has done stands in three places that outlive the function: the secret's versions, the
//! other side (Postgres' roles, Stripe's endpoints), and nowhere else. Each step looks there first, so that it may be
//! repeated at any time: a version has its value or not, a role exists or not, an endpoint made for a version bears the
//! version's name. The current value changes in one call, after all else was proven.

mod backup_key;
mod database;
mod door;
mod kind;
mod overlap;
mod reply;
mod request;
mod signals;
mod standing;
mod steps;
mod stripe_api_key;
mod stripe_webhook;
mod value;

use std::time::{Duration, SystemTime};

use recoup::config::Env;
use recoup::failure::Failure;
use recoup::invocation::Operation;
use recoup::secrets::{REFRESH_INTERVAL, SecretsManager, stripe_api_key as read_api_key};
use recoup::stripe::{API_BASE, ApiKey, Client, Share};
use recoup::telemetry::metrics::Output;

use crate::kind::{Ids, Kind};
pub use crate::reply::RotateReply;
pub use crate::request::RotateRequest;
use crate::signals::Signals;

/// A little more than what the webhook lets pass between two readings of its secret.
const SETTLE: Duration = REFRESH_INTERVAL.saturating_add(Duration::from_secs(2));

/// The function.
pub struct Rotate {
    secrets: SecretsManager,
    ids: Ids,
    /// A database user that may make users, where the secret's own may not.
    admin_secret_id: Option<String>,
    /// The webhook's address of the same database, behind a pooler.
    pooler_secret_id: Option<String>,
    /// Where backup reads its public keys.
    recipients_secret_id: String,
    api_base: String,
    livemode: bool,
    has_accounts: bool,
    /// Where Stripe delivers; none where it does so by another way than HTTP.
    webhook_url: Option<String>,
    overlap_hours: u16,
    settle: Duration,
    signals: Signals,
}

impl Rotate {
    /// Reads the configuration. Secrets are read anew by each step. `output` is where metrics go.
    ///
    /// # Errors
    /// `ConfigurationInvalid`, naming every variable at fault.
    pub fn from_env(mut env: Env, secrets: SecretsManager, output: Output) -> Result<Self, Failure> {
        let unless_none = |text: String| (text != "none").then_some(text);
        let rotate = Self {
            secrets,
            ids: Ids::from_env(&mut env),
            admin_secret_id: env.optional("DATABASE_ADMIN_SECRET_ID").and_then(unless_none),
            pooler_secret_id: env.optional("DATABASE_POOLER_SECRET_ID").and_then(unless_none),
            recipients_secret_id: env.required("BACKUP_RECIPIENTS_SECRET_ID"),
            api_base: env.optional("STRIPE_API_BASE").unwrap_or_else(|| API_BASE.to_owned()),
            livemode: env.required_parsed("STRIPE_LIVEMODE", false),
            has_accounts: env.optional("STRIPE_ACCOUNTS").and_then(unless_none).is_some(),
            webhook_url: unless_none(env.required("STRIPE_WEBHOOK_URL")),
            overlap_hours: env.parsed("ROTATION_OVERLAP_HOURS", 24),
            settle: Duration::from_secs(env.parsed("ROTATION_SETTLE_SECONDS", SETTLE.as_secs())),
            signals: Signals::from_env(&mut env, output),
        };
        env.finish()?;
        Ok(rotate)
    }

    /// Stripe's API with the current key.
    async fn stripe(&self) -> Result<Client, Failure> {
        let id = self.ids.of(Kind::StripeApiKey);
        let key = ApiKey::from(read_api_key(&self.secrets, id).await?);
        key.check_mode(self.livemode, id)?;
        Ok(self.client_of(key).of_secret(id))
    }

    fn client_of(&self, key: ApiKey) -> Client {
        Client::patient(&self.api_base, key).at_share(Share::default())
    }

    async fn answer(&self, request: RotateRequest) -> Result<RotateReply, Failure> {
        match request {
            RotateRequest::Step(request) => self.step(request).await.map(RotateReply::Step),
            RotateRequest::Rotate(of) => self.rotate(of.secret).await.map(RotateReply::Rotated),
            RotateRequest::Abandon(of) => self.abandon(of.secret).await.map(RotateReply::Abandoned),
            RotateRequest::FinishOverlap(request) => {
                self.finish_overlap(request.overlap_hours).await.map(RotateReply::Overlap)
            }
            RotateRequest::Status => self.status().await.map(RotateReply::Status),
        }
    }
}

/// What a failure is counted under: secret and step.
fn counted(request: &RotateRequest) -> (&str, &'static str) {
    match request {
        RotateRequest::Step(request) => (request.secret_id.as_str(), request.step.as_str()),
        RotateRequest::Rotate(of) => (of.secret.as_str(), "rotate"),
        RotateRequest::Abandon(of) => (of.secret.as_str(), "abandon"),
        RotateRequest::FinishOverlap(_) => ("stripe_webhook", "finish_overlap"),
        RotateRequest::Status => ("all", "status"),
    }
}

impl Operation for Rotate {
    type Request = RotateRequest;
    type Reply = RotateReply;

    async fn run(&self, request: RotateRequest, _deadline: SystemTime) -> Result<RotateReply, Failure> {
        let (secret, step) = counted(&request);
        let secret = secret.to_owned();
        let answer = Box::pin(self.answer(request)).await;
        if let Err(failure) = &answer {
            self.signals.failed(&secret, step, failure);
        }
        answer
    }
}
