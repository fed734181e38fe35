//! `reconcile`: what Stripe knows and we lack.
//!
//! `events`: Stripe's event list of a window against the inbox. What is missing, or stored and failed, goes through
//! the same code as a webhook, and so ends in the same rows. `objects`: Stripe's objects as they are now against the
//! rows, in both directions, for what no event says any more. `balance`: what moved at Stripe against the ledger, to
//! the cent. `endpoint`: whether Stripe delivers as it should. `retry`: what failed and is due, and what only Stripe can
//! settle. Dry by default. Each run but `retry`'s leaves a report in the bucket.

mod accounts;
mod balance;
mod belonging;
mod differences;
mod endpoint;
mod events;
mod finding;
mod list;
mod listing;
mod objects;
mod report;
mod request;
mod retry;
mod runs;

use std::time::SystemTime;

use recoup::archive::store::S3Store;
use recoup::config::Env;
use recoup::db;
use recoup::events::inbox::session_options;
use recoup::events::receive::{Accounts, Rules};
use recoup::failure::Failure;
use recoup::invocation::Operation;
use recoup::secrets::{self, SecretStore};
use recoup::stripe::{API_BASE, ApiKey, Client, Share};
use recoup::telemetry::metrics::{Metric, Metrics, Unit};
use secrecy::ExposeSecret;
use serde::Serialize;
use time::OffsetDateTime;

use crate::report::{Location, Report, Reports};
use crate::request::Action;
pub use crate::request::ReconcileRequest;

/// What each action answers.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Reply {
    /// Of `events`.
    Events(Box<events::Reply>),
    /// Of `balance`.
    Balance(Box<balance::Reply>),
    /// Of `endpoint`.
    Endpoint(Box<endpoint::Reply>),
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
    endpoint: endpoint::Expected,
    reports: Reports,
    metrics: Metrics,
}

impl<S: SecretStore + Sync> Reconcile<S> {
    /// Reads the configuration. Secrets are read anew by each run, so that one that was rotated or corrected
    /// counts from then on.
    ///
    /// # Errors
    /// `ConfigurationInvalid`, naming every variable at fault.
    pub fn from_env(mut env: Env, aws: &aws_config::SdkConfig, secrets: S) -> Result<Self, Failure> {
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
            endpoint: endpoint::Expected::from_env(&mut env),
            reports: Reports::new(S3Store::from_env(&mut env, aws)),
            metrics: Metrics::from_env(&mut env, "reconcile", Box::new(std::io::stdout())),
        };
        env.finish()?;
        Ok(reconcile)
    }
}

impl<S: SecretStore + Sync> Reconcile<S> {
    /// Stores the report of a run and counts its drift. Where it cannot be stored the run is none the worse: the
    /// reply says so.
    async fn tell(&self, drift: Metric, report: &Report, warnings: &mut Vec<String>) -> Option<Location> {
        self.metrics.record(&[drift], &[]);
        match Box::pin(self.reports.put(report)).await {
            Ok(location) => Some(location),
            Err(error) => {
                tracing::error!(error_type = error.error_type(), %error, "no report");
                warnings.push(format!("the report could not be stored: {error}"));
                None
            }
        }
    }
}

/// What the alarms on drift count.
fn drift(name: &'static str, drift: bool) -> Metric {
    Metric::new(name, Unit::Count, if drift { 1.0 } else { 0.0 })
}

impl<S: SecretStore + Sync> Operation for Reconcile<S> {
    type Request = ReconcileRequest;
    type Reply = Reply;

    async fn run(&self, request: ReconcileRequest, deadline: SystemTime) -> Result<Reply, Failure> {
        let request = request.checked()?;
        let started = OffsetDateTime::now_utc();
        let (url, key) = tokio::try_join!(
            secrets::database_url(&self.secrets, &self.database_secret_id),
            secrets::stripe_api_key(&self.secrets, &self.api_secret_id),
        )?;
        let options = db::options(url.expose_secret(), "recoup reconcile")?;
        // The limits of an event's statements are too short for sums over a month.
        let options = if request.action == Action::Balance { options } else { session_options(options) };
        let mut connection = db::connect(&options).await?;
        let key = ApiKey::from(key);
        key.check_mode(self.rules.livemode, &self.api_secret_id)?;
        let stripe = Client::patient(&self.api_base, key).of_secret(&self.api_secret_id).at_share(self.share);
        let (stripe, rules, dry_run) = (&stripe, &self.rules, request.dry_run);
        match request.action {
            Action::Events => {
                let last = events::last_good_run(&mut connection).await?;
                let (window, remedy) = (request.window(started, last)?, request.remedy(started, last));
                let (account, cursor) = (request.account, request.cursor);
                let run = events::Run { connection, stripe, rules, window, account, cursor, remedy, dry_run };
                let mut reply = Box::pin(run.finish(started, deadline)).await?;
                let report = reply.report(started);
                reply.report =
                    self.tell(drift("EventsDrift", reply.drift), &report, &mut reply.warnings).await;
                Ok(Reply::Events(Box::new(reply)))
            }
            Action::Balance => {
                let last = balance::last_good_run(&mut connection).await?;
                let span = balance::Span::meant(request.from, request.to, started, last)?;
                let (account, cursor) = (request.account, request.cursor);
                let run = balance::Run { stripe, rules, account, span, cursor, dry_run };
                let compared = Box::pin(run.finish(&mut connection, started, deadline)).await?;
                let mut reply = balance::Reply::of(&run, &compared);
                let report = reply.report(&compared, started);
                reply.report =
                    self.tell(drift("BalanceDrift", reply.drift), &report, &mut reply.warnings).await;
                reply.answered(&compared.unexplained).map(|reply| Reply::Balance(Box::new(reply)))
            }
            Action::Endpoint => {
                let run = endpoint::Run { stripe, rules, expected: &self.endpoint };
                let (mut reply, differences) = Box::pin(run.finish(&mut connection, started)).await?;
                let report = reply.report(&differences, started);
                reply.report =
                    self.tell(drift("EndpointDrift", reply.drift), &report, &mut reply.warnings).await;
                Ok(Reply::Endpoint(Box::new(reply)))
            }
            Action::Objects => {
                let window =
                    request.objects_window(started, objects::last_good_run(&mut connection).await?)?;
                let request = request.objects(&rules.accounts)?;
                let run = objects::Run { connection, stripe, rules, window, request, dry_run };
                let mut reply = Box::pin(run.finish(started, deadline)).await?;
                let report = reply.report(started);
                reply.report =
                    self.tell(drift("ObjectsDrift", reply.drift), &report, &mut reply.warnings).await;
                Ok(Reply::Objects(Box::new(reply)))
            }
            Action::Retry => {
                let run = retry::Run { connection, stripe, rules, dry_run };
                match request.reset()? {
                    Some(reset) => Box::pin(run.one(&reset)).await.map(Reply::Retry),
                    None => Box::pin(run.due(deadline)).await.map(Reply::Retry),
                }
            }
        }
    }
}
