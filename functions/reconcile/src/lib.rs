//! `reconcile`: what Stripe knows and we lack.
//!
//! One action so far, `events`: Stripe's event list of a window against the inbox. What is missing, or stored
//! and failed, goes through the same code as a webhook, and so ends in the same rows. Dry by default.

mod events;
mod listing;
mod request;

use std::time::SystemTime;

use recoup::config::Env;
use recoup::db;
use recoup::events::inbox::session_options;
use recoup::events::receive::{Accounts, Rules};
use recoup::failure::Failure;
use recoup::invocation::Operation;
use recoup::secrets::{self, SecretStore};
use recoup::stripe::{API_BASE, Client};
use secrecy::ExposeSecret;
use time::OffsetDateTime;

pub use crate::events::{Finding, Reply};
pub use crate::request::ReconcileRequest;

/// The function.
pub struct Reconcile<S> {
    secrets: S,
    database_secret_id: String,
    api_secret_id: String,
    api_base: String,
    rules: Rules,
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
        let stripe = Client::patient(&self.api_base, key.into());
        let window = request.window(started, events::last_good_run(&mut connection).await?)?;
        events::Run { connection, stripe: &stripe, rules: &self.rules, window, dry_run: request.dry_run }
            .finish(started, deadline)
            .await
    }
}
