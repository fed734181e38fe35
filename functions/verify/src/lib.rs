//! The verify function: is a backup whole, does it come back, do the rows hold together, are the tables as migrated,
//! and is the whole setup healthy? What is not is a function error, never a green reply.

mod changes;
mod database;
mod drill;
mod full;
mod health;
mod quick;
mod record;
mod request;
mod schema;
mod signals;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use recoup::archive::ArchiveError;
use recoup::archive::encryption::Identities;
use recoup::archive::names::BackupId;
use recoup::archive::reading::Backup;
use recoup::archive::restore::RestoreTarget;
use recoup::archive::store::S3Store;
use recoup::archive::summary::find_backup;
use recoup::config::Env;
use recoup::db;
use recoup::failure::Failure;
use recoup::invocation::Operation;
use recoup::secrets::{SecretDates, SecretStore, age_identities, database_url};
use recoup::telemetry::metrics::Output;
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use time::OffsetDateTime;

use crate::health::Expectations;
use crate::record::{Verification, record, status_of};
pub use crate::request::VerifyRequest;
use crate::request::{Check, Depth, Wanted, wanted};
use crate::signals::Signals;

/// What is kept back of the invocation's time to record a check and to answer.
const REPLY_TIME: Duration = Duration::from_secs(5);

/// What the function answers.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum VerifyReply {
    /// What a check found in order.
    Checked {
        /// Of the check.
        #[serde(flatten)]
        outcome: Outcome,
        /// What went wrong beside it.
        warnings: Vec<String>,
    },
    /// How everything stands.
    Health(health::HealthReply),
}

/// What each check answers.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    /// Of `quick`.
    Quick(quick::QuickReply),
    /// Of `full`.
    Full(full::FullReply),
    /// Of `drill`.
    Drill(drill::DrillReply),
    /// Of `changes`.
    Changes(changes::ChangesReply),
    /// Of `database`.
    Database(database::DatabaseReply),
    /// Of `schema`.
    Schema(schema::SchemaReply),
}

/// The function.
pub struct Verify<S> {
    secrets: S,
    database_secret_id: String,
    key_secret_id: String,
    store: Arc<S3Store>,
    connections: usize,
    expectations: Expectations,
    signals: Signals,
}

impl<S: SecretStore + SecretDates + Sync> Verify<S> {
    /// Reads the configuration. `output` is where metrics go.
    ///
    /// # Errors
    /// `ConfigurationInvalid`, naming every variable at fault.
    pub fn from_env(
        mut env: Env,
        aws: &aws_config::SdkConfig,
        secrets: S,
        output: Output,
    ) -> Result<Self, Failure> {
        let database_secret_id = env.required("DATABASE_SECRET_ID");
        let key_secret_id = env.required("BACKUP_KEY_SECRET_ID");
        let verify = Self {
            secrets,
            store: Arc::new(S3Store::from_env(&mut env, aws)),
            connections: env.parsed("RESTORE_CONNECTIONS", 2),
            expectations: Expectations::from_env(&mut env, &database_secret_id, &key_secret_id),
            signals: Signals::from_env(&mut env, output),
            database_secret_id,
            key_secret_id,
        };
        env.finish()?;
        Ok(verify)
    }

    async fn options(&self) -> Result<PgConnectOptions, Failure> {
        let url = database_url(&self.secrets, &self.database_secret_id).await?;
        db::options(url.expose_secret(), "recoup verify")
    }

    async fn identities(&self, backup: &Backup<S3Store>) -> Result<Identities, Failure> {
        if backup.manifest.encryption.method == "none" {
            return Ok(Identities::parse(&[])?);
        }
        self.all_identities().await
    }

    async fn all_identities(&self) -> Result<Identities, Failure> {
        Ok(Identities::parse(&age_identities(&self.secrets, &self.key_secret_id).await?)?)
    }

    /// Carries out a check; the second says which backup was meant, as soon as that is known.
    async fn check(
        &self,
        check: &Check,
        meant: &mut Option<BackupId>,
        deadline: SystemTime,
    ) -> Result<(Outcome, Vec<String>), Failure> {
        let outcome = match check {
            Check::Backup { depth, backup_id } => {
                let id = meant
                    .insert(find_backup(&*self.store, backup_id.as_deref().unwrap_or("latest")).await?)
                    .clone();
                let backup = Arc::new(Backup::open(Arc::clone(&self.store), id).await?);
                match depth {
                    Depth::Quick => Outcome::Quick(quick::quick(&backup).await?),
                    Depth::Full => {
                        let identities = self.identities(&backup).await?;
                        Outcome::Full(full::full(backup, &identities).await?)
                    }
                    Depth::Drill => {
                        let identities = self.identities(&backup).await?;
                        let target = RestoreTarget {
                            server: self.options().await?,
                            connections: self.connections.max(1),
                        };
                        let drilled = Box::pin(drill::drill(target, &backup, &identities, deadline)).await?;
                        return Ok((Outcome::Drill(drilled.reply), drilled.warnings));
                    }
                }
            }
            Check::Changes => {
                let identities = self.all_identities().await?;
                Outcome::Changes(Box::pin(changes::changes(&self.store, &identities)).await?)
            }
            Check::Database { settle_minutes } => {
                let settled_before =
                    OffsetDateTime::now_utc() - time::Duration::minutes((*settle_minutes).into());
                Outcome::Database(database::database(&self.options().await?, settled_before).await?)
            }
            Check::Schema => Outcome::Schema(Box::pin(schema::schema(&self.options().await?)).await?),
        };
        Ok((outcome, Vec::new()))
    }

    /// Carries out a check within its time, counts it, and records it.
    async fn checked(&self, check: &Check, deadline: SystemTime) -> Result<VerifyReply, Failure> {
        let (action, started_at) = (check.action(), OffsetDateTime::now_utc());
        let time_left =
            deadline.duration_since(SystemTime::now()).unwrap_or_default().saturating_sub(REPLY_TIME);
        let mut meant = None;
        let done =
            match tokio::time::timeout(time_left, Box::pin(self.check(check, &mut meant, deadline))).await {
                Ok(done) => done,
                Err(_) => Err(ArchiveError::TimeLimit { operation: "verify" }.into()),
            };
        let (status, details) = match &done {
            Ok((outcome, _)) => {
                let drill_seconds = match outcome {
                    Outcome::Drill(reply) => Some(reply.recovery_seconds),
                    _ => None,
                };
                self.signals.passed(action, drill_seconds);
                ("passed", json!(outcome))
            }
            Err(failure) => {
                self.signals.failed(action, failure);
                let details = match failure.findings() {
                    Some(findings) => json!({"error_type": failure.error_type(), "findings": findings}),
                    None => json!({"error_type": failure.error_type(), "error": failure.to_string()}),
                };
                (status_of(failure), details)
            }
        };
        let backup_id = meant.as_ref().map(BackupId::as_str);
        let verification = Verification { action, backup_id, status, started_at, details };
        let recorded = match self.options().await {
            Ok(options) => record(&options, &verification).await,
            Err(failure) => Err(format!("the check is not recorded: {failure}")),
        };
        if let Err(reason) = &recorded {
            tracing::warn!(action, reason, "check not recorded");
        }
        let (outcome, mut warnings) = done?;
        warnings.extend(recorded.err());
        Ok(VerifyReply::Checked { outcome, warnings })
    }
}

impl<S: SecretStore + SecretDates + Sync> Operation for Verify<S> {
    type Request = VerifyRequest;
    type Reply = VerifyReply;

    async fn run(&self, request: VerifyRequest, deadline: SystemTime) -> Result<VerifyReply, Failure> {
        match wanted(request)? {
            Wanted::Check(check) => Box::pin(self.checked(&check, deadline)).await,
            Wanted::Health => Box::pin(self.health()).await.map(VerifyReply::Health),
        }
    }
}
