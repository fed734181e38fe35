//! The restore function: rebuilds a backup in a database of its own and proves it equal. A restore compares production
//! with it and never writes it; going live is a request of its own.

mod asked;
mod backup_restore;
mod compare;
mod discard;
mod point_in_time;
mod preview;
mod promote;
mod reply;
mod request;
mod resume;
mod status;
mod undo;

use std::sync::Arc;
use std::time::SystemTime;

use recoup::archive::encryption::Identities;
use recoup::archive::reading::Backup;
use recoup::archive::restore::RestoreTarget;
use recoup::archive::store::S3Store;
use recoup::config::Env;
use recoup::db;
use recoup::erasures;
use recoup::failure::Failure;
use recoup::invocation::Operation;
use recoup::secrets::{SecretStore, age_identities, database_url};
use secrecy::ExposeSecret;
use serde::Serialize;
use sqlx::postgres::PgConnectOptions;

pub use crate::backup_restore::BackupRestoreRequest;
pub use crate::compare::{CompareReply, CompareRequest};
pub use crate::discard::{DiscardReply, DiscardRequest};
pub use crate::point_in_time::PointInTimeRequest;
pub use crate::preview::PreviewReply;
pub use crate::promote::{Mode, PromoteReply, PromoteRequest};
pub use crate::reply::{InProgressReply, RestoredReply};
pub use crate::request::RestoreRequest;
pub use crate::resume::ResumeRequest;
pub use crate::status::{StatusReply, StatusRequest};
pub use crate::undo::{UndoReply, UndoRequest};

/// What the function answers.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum RestoreReply {
    /// A copy that is complete.
    Restored(Box<RestoredReply>),
    /// A copy that another invocation has to go on with.
    InProgress(Box<InProgressReply>),
    /// What a restore would do.
    Preview(Box<PreviewReply>),
    /// How far a restore is.
    Status(Box<StatusReply>),
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

    /// Where backups are restored: production's server, or the one that another secret names.
    async fn target(&self, secret: Option<&str>) -> Result<RestoreTarget, Failure> {
        let url = database_url(&self.secrets, secret.unwrap_or(&self.database_secret_id)).await?;
        let server = db::options(url.expose_secret(), "recoup restore")?;
        Ok(RestoreTarget { server, connections: self.connections.max(1) })
    }

    /// How to connect to production.
    async fn production(&self) -> Result<PgConnectOptions, Failure> {
        let url = database_url(&self.secrets, &self.database_secret_id).await?;
        db::options(url.expose_secret(), "recoup restore")
    }

    /// The erasures in the bucket, which every copy gets.
    async fn erasures(&self) -> Result<erasures::Records, Failure> {
        let keys = erasures::list(&*self.store).await?;
        let is_encrypted = keys.iter().any(|key| key.ends_with(".age"));
        let identities = match is_encrypted {
            true => age_identities(&self.secrets, &self.key_secret_id).await?,
            false => Vec::new(),
        };
        Ok(erasures::open(&*self.store, keys, &Identities::parse(&identities)?).await?)
    }

    /// How to connect to the server of a copy that is not on production's.
    async fn elsewhere(&self, secret: Option<&str>) -> Result<Option<PgConnectOptions>, Failure> {
        match secret {
            None => Ok(None),
            Some(secret) => Ok(Some(self.target(Some(secret)).await?.server)),
        }
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
            RestoreRequest::BackupRestore(request) => Box::pin(self.backup_restore(request, deadline)).await,
            RestoreRequest::PointInTime(request) => Box::pin(self.point_in_time(request, deadline)).await,
            RestoreRequest::Resume(request) => Box::pin(self.resume(request, deadline)).await,
            RestoreRequest::Status(request) => {
                Ok(RestoreReply::Status(Box::new(Box::pin(self.status(request)).await?)))
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
