//! The restore function: rebuilds a backup in a database of its own and proves it equal. A restore compares production
//! with it and never writes it; going live is a request of its own.

mod backup_restore;
mod compare;
mod discard;
mod promote;
mod request;
mod undo;

use std::sync::Arc;
use std::time::SystemTime;

use recoup::archive::encryption::Identities;
use recoup::archive::reading::Backup;
use recoup::archive::store::S3Store;
use recoup::config::Env;
use recoup::db;
use recoup::failure::Failure;
use recoup::invocation::Operation;
use recoup::secrets::{SecretStore, age_identities, database_url};
use secrecy::ExposeSecret;
use serde::Serialize;
use sqlx::postgres::PgConnectOptions;

pub use crate::backup_restore::{BackupRestoreReply, BackupRestoreRequest};
pub use crate::compare::{CompareReply, CompareRequest};
pub use crate::discard::{DiscardReply, DiscardRequest};
pub use crate::promote::{Mode, PromoteReply, PromoteRequest};
pub use crate::request::RestoreRequest;
pub use crate::undo::{UndoReply, UndoRequest};

/// What the function answers.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum RestoreReply {
    /// Of `backup_restore`.
    BackupRestore(Box<BackupRestoreReply>),
    /// Of `compare`.
    Compare(Box<CompareReply>),
    /// Of `promote`.
    Promote(Box<PromoteReply>),
    /// Of `undo`.
    Undo(Box<UndoReply>),
    /// Of `discard`.
    Discard(Box<DiscardReply>),
}

/// The function.
pub struct Restore<S> {
    secrets: S,
    database_secret_id: String,
    key_secret_id: String,
    store: Arc<S3Store>,
    connections: usize,
}

impl<S: SecretStore + Sync> Restore<S> {
    /// Reads the configuration.
    ///
    /// # Errors
    /// `ConfigurationInvalid`, naming every variable at fault.
    pub fn from_env(mut env: Env, aws: &aws_config::SdkConfig, secrets: S) -> Result<Self, Failure> {
        let restore = Self {
            secrets,
            database_secret_id: env.required("DATABASE_SECRET_ID"),
            key_secret_id: env.required("BACKUP_KEY_SECRET_ID"),
            store: Arc::new(S3Store::from_env(&mut env, aws)),
            connections: env.parsed("RESTORE_CONNECTIONS", 2),
        };
        env.finish()?;
        Ok(restore)
    }

    /// How to connect to production.
    async fn production(&self) -> Result<PgConnectOptions, Failure> {
        let url = database_url(&self.secrets, &self.database_secret_id).await?;
        db::options(url.expose_secret(), "recoup restore")
    }

    async fn identities(&self, backup: &Backup<S3Store>) -> Result<Identities, Failure> {
        if backup.manifest.encryption.method == "none" {
            return Ok(Identities::parse(&[])?);
        }
        Ok(Identities::parse(&age_identities(&self.secrets, &self.key_secret_id).await?)?)
    }
}

impl<S: SecretStore + Sync> Operation for Restore<S> {
    type Request = RestoreRequest;
    type Reply = RestoreReply;

    async fn run(&self, request: RestoreRequest, deadline: SystemTime) -> Result<RestoreReply, Failure> {
        match request {
            RestoreRequest::BackupRestore(request) => {
                let restored = Box::pin(self.backup_restore(request, deadline)).await?;
                Ok(RestoreReply::BackupRestore(Box::new(restored)))
            }
            RestoreRequest::Compare(request) => {
                let compared = Box::pin(self.compare(request, deadline)).await?;
                Ok(RestoreReply::Compare(Box::new(compared)))
            }
            RestoreRequest::Promote(request) => {
                let promoted = Box::pin(self.promote(request, deadline)).await?;
                Ok(RestoreReply::Promote(Box::new(promoted)))
            }
            RestoreRequest::Undo(request) => {
                let undone = Box::pin(self.undo(request)).await?;
                Ok(RestoreReply::Undo(Box::new(undone)))
            }
            RestoreRequest::Discard(request) => {
                let discarded = Box::pin(self.discard(request)).await?;
                Ok(RestoreReply::Discard(Box::new(discarded)))
            }
        }
    }
}
