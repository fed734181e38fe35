//! The backup function: writes backups of the database, or of a part of it, to the bucket, lists what is there, and
//! prunes it.
//!
//! It holds public keys only. In AWS it may write objects, list and delete them, and not read one.

mod changes;
mod prune;
mod rebuild;
mod reply;
mod request;
mod retention;
mod status;

use std::sync::Arc;
use std::time::SystemTime;

use recoup::archive::backup::{BackupSource, Outcome, Wanted};
use recoup::archive::encode::{ZSTD_LEVEL, ZSTD_LEVEL_MAX, ZSTD_LEVEL_MIN};
use recoup::archive::encryption::CurrentEncryption;
use recoup::archive::kind::BackupKind;
use recoup::archive::schema::SchemaSelection;
use recoup::archive::store::S3Store;
use recoup::archive::summary::list_backups;
use recoup::changes::capture::Order;
use recoup::changes::export::Exporter;
use recoup::config::Env;
use recoup::db;
use recoup::failure::Failure;
use recoup::invocation::Operation;
use recoup::secrets::{SecretStore, database_url};
use recoup::telemetry::metrics::{Metric, Metrics};
use secrecy::ExposeSecret;
use sqlx::postgres::PgConnectOptions;

pub use crate::changes::{CaptureReply, CaptureRequest, ChangesReply, ChangesRequest};
pub use crate::prune::{PruneReply, PruneRequest};
pub use crate::rebuild::{RebuildReply, RebuildRequest};
use crate::reply::outcome_reply;
pub use crate::reply::{BackupReply, DuplicateReply, MadeReply, TableReply};
use crate::request::Make;
pub use crate::request::{BackupRequest, MakeRequest};
use crate::retention::Retention;
pub use crate::status::{StatusReply, StatusRequest};

/// The function.
pub struct Backup<S> {
    secrets: S,
    database_secret_id: String,
    store: Arc<S3Store>,
    zstd_level: i32,
    encryption: CurrentEncryption,
    schemas: SchemaSelection,
    connections: usize,
    retention: Retention,
    metrics: Metrics,
    point_in_time_window: time::Duration,
    changes_keep: time::Duration,
}

impl<S: SecretStore + Sync> Backup<S> {
    /// Reads the configuration.
    ///
    /// # Errors
    /// `ConfigurationInvalid`, naming every variable at fault.
    pub fn from_env(mut env: Env, aws: &aws_config::SdkConfig, secrets: S) -> Result<Self, Failure> {
        let schemas = SchemaSelection::from_env(&mut env);
        let backup = Self {
            secrets,
            database_secret_id: env.required("DATABASE_SECRET_ID"),
            store: Arc::new(S3Store::from_env(&mut env, aws)),
            zstd_level: zstd_level(&mut env),
            encryption: CurrentEncryption::from_env(&mut env),
            schemas,
            connections: env.parsed("BACKUP_CONNECTIONS", 2),
            retention: Retention::from_env(&mut env),
            metrics: Metrics::from_env(&mut env, "backup", Box::new(std::io::stdout())),
            point_in_time_window: time::Duration::days(env.parsed::<u16>("BACKUP_PITR_DAYS", 35).into()),
            changes_keep: time::Duration::hours(env.parsed::<u16>("BACKUP_CHANGES_KEEP_HOURS", 24).into()),
        };
        env.finish()?;
        Ok(backup)
    }

    async fn database(&self) -> Result<PgConnectOptions, Failure> {
        let url = database_url(&self.secrets, &self.database_secret_id).await?;
        db::options(url.expose_secret(), "recoup backup")
    }

    async fn make(&self, make: Make, deadline: SystemTime) -> Result<BackupReply, Failure> {
        let source = BackupSource {
            options: self.database().await?,
            store: Arc::clone(&self.store),
            zstd_level: self.zstd_level,
            encryption: self.encryption.now(&self.secrets).await?,
            schemas: self.schemas.clone(),
            connections: self.connections.max(1),
        };
        let Make { selection, label, format, scheduled_at } = make;
        let kind = selection.kind;
        let wanted = Wanted { selection, label, format, retention: self.retention.of(kind), scheduled_at };
        let outcome = source.make(wanted, deadline).await?;
        // What the alarms on missing backups count; a window is none of the backups that a schedule promises.
        if let Outcome::Made(made) = &outcome
            && !made.manifest.partial
        {
            self.metrics.record(&[completed(kind)], &[("backup_id", &made.manifest.backup_id)]);
        }
        Ok(outcome_reply(outcome, kind.as_str()))
    }
}

impl<S: SecretStore + Sync> Backup<S> {
    async fn export(&self, deadline: SystemTime) -> Result<BackupReply, Failure> {
        let exporter = Exporter {
            options: self.database().await?,
            store: Arc::clone(&self.store),
            encryption: self.encryption.now(&self.secrets).await?,
            schemas: self.schemas.clone(),
            keep: self.changes_keep,
        };
        let reply = Box::pin(changes::export(&exporter, deadline)).await?;
        // What the alarm on their age counts.
        if let Some(segment_id) = reply.segment_id() {
            self.metrics.record(&[Metric::one("ChangesExports")], &[("segment_id", segment_id)]);
        }
        Ok(BackupReply::Changes(reply))
    }

    async fn order(&self, order: Order, request: &CaptureRequest) -> Result<BackupReply, Failure> {
        let ordered = changes::order(&self.database().await?, &self.schemas, order, request).await?;
        Ok(BackupReply::Captured(ordered))
    }
}

/// Reads `BACKUP_ZSTD_LEVEL`.
fn zstd_level(env: &mut Env) -> i32 {
    let level = env.parsed("BACKUP_ZSTD_LEVEL", ZSTD_LEVEL);
    if !(ZSTD_LEVEL_MIN..=ZSTD_LEVEL_MAX).contains(&level) {
        env.fault(format!("BACKUP_ZSTD_LEVEL is {level}; it is from {ZSTD_LEVEL_MIN} to {ZSTD_LEVEL_MAX}"));
    }
    level
}

fn completed(kind: BackupKind) -> Metric {
    Metric::one(match kind {
        BackupKind::Full => "FullBackups",
        BackupKind::Payments => "PaymentsBackups",
        BackupKind::Orders => "OrdersBackups",
        BackupKind::Tickets => "TicketsBackups",
        BackupKind::Tables => "TablesBackups",
    })
}

impl<S: SecretStore + Sync> Operation for Backup<S> {
    type Request = BackupRequest;
    type Reply = BackupReply;

    async fn run(&self, request: BackupRequest, deadline: SystemTime) -> Result<BackupReply, Failure> {
        let store = &*self.store;
        match request {
            BackupRequest::Make(make) => Box::pin(self.make(make.understood()?, deadline)).await,
            BackupRequest::Changes(_) => Box::pin(self.export(deadline)).await,
            BackupRequest::Capture(request) => Box::pin(self.order(Order::Capture, &request)).await,
            BackupRequest::Release(request) => Box::pin(self.order(Order::Release, &request)).await,
            BackupRequest::List => {
                let list = list_backups(store).await.map_err(Failure::from)?;
                Ok(BackupReply::List { backups: list.backups, incomplete: list.incomplete })
            }
            BackupRequest::Prune(request) => {
                let (database, window) = (self.database().await?, self.point_in_time_window);
                let pruned = prune::prune(store, &database, window, request, deadline).await?;
                Ok(BackupReply::Pruned(pruned))
            }
            BackupRequest::Rebuild(request) => {
                let rebuilt = rebuild::rebuild(store, &self.database().await?, request).await?;
                Ok(BackupReply::Rebuilt(rebuilt))
            }
            BackupRequest::Status(request) => {
                let status = status::status(store, &self.database().await?, request).await?;
                Ok(BackupReply::Status(Box::new(status)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_zstd_or_the_memory_has_not_is_refused() {
        let read = |level: &str| {
            let mut env = Env::from_variables([("BACKUP_ZSTD_LEVEL".to_owned(), level.to_owned())]);
            let level = zstd_level(&mut env);
            env.finish().map(|()| level).map_err(|failure| failure.to_string())
        };
        assert_eq!(read(""), Ok(ZSTD_LEVEL));
        assert_eq!(read("-3"), Ok(-3));
        for refused in ["-8", "10", "fast"] {
            let message = read(refused).expect_err(refused);
            assert!(message.contains("BACKUP_ZSTD_LEVEL"), "{message}");
        }
    }
}
