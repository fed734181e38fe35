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
use sqlx::postgres::PgConnectOptions;
use time::OffsetDateTime;

pub use crate::events::{Finding, Reply};
pub use crate::request::ReconcileRequest;

/// The function.
pub struct Reconcile {
    database: PgConnectOptions,
    stripe: Client,
    rules: Rules,
}

impl Reconcile {
    /// Reads the environment and the secrets that it names.
    ///
    /// # Errors
    /// Every variable that is missing, or the secret that cannot be used.
    pub async fn from_env(mut env: Env, store: &impl SecretStore) -> Result<Self, Failure> {
        let database_secret = env.required("DATABASE_SECRET_ID");
        let api_secret = env.required("STRIPE_API_SECRET_ID");
        let rules = Rules {
            livemode: env.required_parsed("STRIPE_LIVEMODE", false),
            accounts: env.parsed("STRIPE_ACCOUNTS", Accounts::None),
        };
        let api_base = env.optional("STRIPE_API_BASE").unwrap_or_else(|| API_BASE.to_owned());
        env.finish()?;

        let database_url = secrets::database_url(store, &database_secret).await?;
        let api_key = secrets::stripe_api_key(store, &api_secret).await?;
        Ok(Self {
            database: session_options(db::options(database_url.expose_secret(), "recoup reconcile")?),
            stripe: Client::patient(api_base, api_key.into()),
            rules,
        })
    }
}

impl Operation for Reconcile {
    type Request = ReconcileRequest;
    type Reply = Reply;

    async fn run(&self, request: ReconcileRequest, deadline: SystemTime) -> Result<Reply, Failure> {
        let started = OffsetDateTime::now_utc();
        let mut connection = db::connect(&self.database).await?;
        let window = request.window(started, events::last_good_run(&mut connection).await?)?;
        events::Run { connection, stripe: &self.stripe, rules: &self.rules, window, dry_run: request.dry_run }
            .finish(started, deadline)
            .await
    }
}
