//! The backup function: writes backups of the database, or of a part of it, to the bucket, and lists what is there.
//!
//! It holds public keys only. In AWS it may write objects and list them, and not read one.

mod reply;
mod request;
mod retention;

use std::sync::Arc;
use std::time::SystemTime;

use recoup::archive::backup::BackupSource;
use recoup::archive::encryption::Encryption;
use recoup::archive::kind::BackupKind;
use recoup::archive::schema::SchemaSelection;
use recoup::archive::selection::Selection;
use recoup::archive::store::S3Store;
use recoup::archive::summary::list_backups;
use recoup::config::Env;
use recoup::db;
use recoup::failure::Failure;
use recoup::invocation::Operation;
use recoup::secrets::{SecretStore, database_url};
use recoup::telemetry::metrics::{Metric, Metrics};
use secrecy::ExposeSecret;

use crate::reply::made_reply;
pub use crate::reply::{BackupReply, MadeReply, TableReply};
pub use crate::request::BackupRequest;
use crate::request::{Wanted, wanted};
use crate::retention::Retention;

/// The function.
pub struct Backup<S> {
    secrets: S,
    database_secret_id: String,
    store: Arc<S3Store>,
    encryption: Encryption,
    schemas: SchemaSelection,
    connections: usize,
    retention: Retention,
    metrics: Metrics,
}

impl<S: SecretStore + Sync> Backup<S> {
    /// Reads the configuration.
    ///
    /// # Errors
    /// `ConfigurationInvalid`, naming every variable at fault.
    pub fn from_env(mut env: Env, aws: &aws_config::SdkConfig, secrets: S) -> Result<Self, Failure> {
        let schemas = match env.optional("BACKUP_SCHEMAS") {
            None => SchemaSelection::All,
            Some(list) => SchemaSelection::Only(list.split(',').map(|name| name.trim().to_owned()).collect()),
        };
        let backup = Self {
            secrets,
            database_secret_id: env.required("DATABASE_SECRET_ID"),
            store: Arc::new(S3Store::from_env(&mut env, aws)),
            encryption: Encryption::from_env(&mut env),
            schemas,
            connections: env.parsed("BACKUP_CONNECTIONS", 2),
            retention: Retention::from_env(&mut env),
            metrics: Metrics::from_env(&mut env, "backup", Box::new(std::io::stdout())),
        };
        env.finish()?;
        Ok(backup)
    }

    async fn make(
        &self,
        selection: Selection,
        label: Option<String>,
        deadline: SystemTime,
    ) -> Result<BackupReply, Failure> {
        let url = database_url(&self.secrets, &self.database_secret_id).await?;
        let source = BackupSource {
            options: db::options(url.expose_secret(), "recoup backup")?,
            store: Arc::clone(&self.store),
            encryption: self.encryption.clone(),
            schemas: self.schemas.clone(),
            connections: self.connections.max(1),
        };
        let retention = self.retention.of(selection.kind);
        let made = source.make(&selection, label, retention, deadline).await?;
        // What the alarms on missing backups count; a window is none of the backups that a schedule promises.
        if !made.manifest.partial {
            self.metrics.record(&[completed(selection.kind)], &[("backup_id", &made.manifest.backup_id)]);
        }
        Ok(BackupReply::Made(Box::new(made_reply(made))))
    }
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
        match wanted(request)? {
            Wanted::Make { selection, label } => Box::pin(self.make(selection, label, deadline)).await,
            Wanted::List => {
                let list = list_backups(&*self.store).await.map_err(Failure::from)?;
                Ok(BackupReply::List { backups: list.backups, incomplete: list.incomplete })
            }
        }
    }
}
