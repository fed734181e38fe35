//! `reconcile`: what Stripe knows and we lack.
//!
//! `events`: Stripe's event list of a window against the inbox. What is missing, or stored and failed, goes through
//! the same code as a webhook, and so ends in the same rows. `retry`: what failed and is due, and what only Stripe
//! can settle. `objects`: Stripe's objects as they are now against the rows, in both directions, for what no event says
//! any more. Dry by default.

mod events;
mod finding;
mod listing;
mod objects;
mod request;
mod retry;

use std::time::SystemTime;

use recoup::config::Env;
use recoup::db;
use recoup::events::inbox::session_options;
use recoup::events::receive::{Accounts, Rules};
use recoup::failure::Failure;
use recoup::invocation::Operation;
use recoup::secrets::{self, SecretStore};
use recoup::stripe::{API_BASE, ApiKey, Client, Share};
use secrecy::ExposeSecret;
use serde::Serialize;
use time::OffsetDateTime;

use crate::request::Action;
pub use crate::request::ReconcileRequest;

/// What each action answers.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Reply {
    /// Of `events`.
    Events(events::Reply),
    /// Of `retry`.
    Retry(retry::Reply),
    /// Of `objects`.
    Objects(Box<objects::Reply>),
}

/// The function.
pub struct Reconcile<S> {
    secrets: S,
    database_secret_id: String,
    api_secret_id: String,
    api_base: String,
    rules: Rules,
    share: Share,
}

impl<S: SecretStore + Sync> Reconcile<S> {
    /// Reads the configuration. Secrets are read anew by each run, so that one that was rotated or corrected
    /// counts from then on.
    ///
    /// # Errors
    /// `ConfigurationInvalid`, naming every variable at fault.
    pub fn from_env(mut env: Env, secrets: S) -> Result<Self, Failure> {
        let reconcile = Self {
            secrets,
            database_secret_id: env.required("DATABASE_SECRET_ID"),
            api_secret_id: env.required("STRIPE_API_SECRET_ID"),
            api_base: env.optional("STRIPE_API_BASE").unwrap_or_else(|| API_BASE.to_owned()),
            rules: Rules {
                livemode: env.required_parsed("STRIPE_LIVEMODE", false),
                accounts: env.parsed("STRIPE_ACCOUNTS", Accounts::None),
            },
            share: env.parsed("STRIPE_RATE_SHARE_PERCENT", Share::default()),
        };
        env.finish()?;
        Ok(reconcile)
    }
}

impl<S: SecretStore + Sync> Operation for Reconcile<S> {
    type Request = ReconcileRequest;
    type Reply = Reply;

    async fn run(&self, request: ReconcileRequest, deadline: SystemTime) -> Result<Reply, Failure> {
        let started = OffsetDateTime::now_utc();
        let (url, key) = tokio::try_join!(
            secrets::database_url(&self.secrets, &self.database_secret_id),
            secrets::stripe_api_key(&self.secrets, &self.api_secret_id),
        )?;
        let options = session_options(db::options(url.expose_secret(), "recoup reconcile")?);
        let mut connection = db::connect(&options).await?;
        let key = ApiKey::from(key);
        key.check_mode(self.rules.livemode, &self.api_secret_id)?;
        let stripe = Client::patient(&self.api_base, key).of_secret(&self.api_secret_id).at_share(self.share);
        let (stripe, rules, dry_run) = (&stripe, &self.rules, request.dry_run);
        match request.action {
            Action::Events => {
                let last = events::last_good_run(&mut connection).await?;
                let (window, remedy) = (request.window(started, last)?, request.remedy(started, last));
                let run = events::Run { connection, stripe, rules, window, remedy, dry_run };
                run.finish(started, deadline).await.map(Reply::Events)
            }
            Action::Objects => {
                let window =
                    request.objects_window(started, objects::last_good_run(&mut connection).await?)?;
                let request = request.objects(&rules.accounts)?;
                let run = objects::Run { connection, stripe, rules, window, request, dry_run };
                run.finish(started, deadline).await.map(|reply| Reply::Objects(Box::new(reply)))
            }
            Action::Retry => {
                let run = retry::Run { connection, stripe, rules, dry_run };
                match request.reset()? {
                    Some(reset) => run.one(&reset).await.map(Reply::Retry),
                    None => run.due(deadline).await.map(Reply::Retry),
                }
            }
        }
    }
}
