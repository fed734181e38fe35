//! The operate function: work that an operator would otherwise do by hand in `psql`, as commands that are audited, and dry
//! where a request does not say otherwise.

mod erase_customer;
mod recovery_points;
mod replay_erasures;
mod request;

use std::time::SystemTime;

use recoup::archive::ArchiveError;
use recoup::archive::encryption::CurrentEncryption;
use recoup::archive::store::S3Store;
use recoup::config::Env;
use recoup::db;
use recoup::failure::Failure;
use recoup::invocation::Operation;
use recoup::secrets::{SecretStore, database_url};
use secrecy::ExposeSecret;
use serde::Serialize;
use sqlx::PgConnection;

pub use crate::erase_customer::{EraseCustomerReply, EraseCustomerRequest};
pub use crate::recovery_points::{CreateRecoveryPointRequest, DropRecoveryPointRequest, RecoveryPointReply};
pub use crate::replay_erasures::{ReplayErasuresReply, ReplayErasuresRequest};
pub use crate::request::OperateRequest;

/// What the function answers.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum OperateReply {
    /// Of `erase_customer`.
    EraseCustomer(Box<EraseCustomerReply>),
    /// Of `replay_erasures`.
    ReplayErasures(Box<ReplayErasuresReply>),
    /// Of `create_recovery_point` and `drop_recovery_point`.
    RecoveryPoint(Box<RecoveryPointReply>),
}

/// The function.
pub struct Operate<S> {
    secrets: S,
    database_secret_id: String,
    store: S3Store,
    encryption: CurrentEncryption,
}

impl<S: SecretStore + Sync> Operate<S> {
    /// Reads the configuration.
    ///
    /// # Errors
    /// `ConfigurationInvalid`, naming every variable at fault.
    pub fn from_env(mut env: Env, aws: &aws_config::SdkConfig, secrets: S) -> Result<Self, Failure> {
        let operate = Self {
            secrets,
            database_secret_id: env.required("DATABASE_SECRET_ID"),
            store: S3Store::from_env(&mut env, aws),
            encryption: CurrentEncryption::from_env(&mut env),
        };
        env.finish()?;
        Ok(operate)
    }

    async fn connect(&self) -> Result<PgConnection, Failure> {
        let url = database_url(&self.secrets, &self.database_secret_id).await?;
        db::connect(&db::options(url.expose_secret(), "recoup operate")?).await
    }
}

impl<S: SecretStore + Sync> Operation for Operate<S> {
    type Request = OperateRequest;
    type Reply = OperateReply;

    async fn run(&self, request: OperateRequest, _deadline: SystemTime) -> Result<OperateReply, Failure> {
        match request {
            OperateRequest::EraseCustomer(request) => {
                let erased = Box::pin(self.erase_customer(request)).await?;
                Ok(OperateReply::EraseCustomer(Box::new(erased)))
            }
            OperateRequest::ReplayErasures(request) => {
                let replayed = Box::pin(self.replay_erasures(request)).await?;
                Ok(OperateReply::ReplayErasures(Box::new(replayed)))
            }
            OperateRequest::CreateRecoveryPoint(request) => {
                let created = Box::pin(self.recovery_point(request.understood()?)).await?;
                Ok(OperateReply::RecoveryPoint(Box::new(created)))
            }
            OperateRequest::DropRecoveryPoint(request) => {
                let dropped = Box::pin(self.recovery_point(request.understood()?)).await?;
                Ok(OperateReply::RecoveryPoint(Box::new(dropped)))
            }
        }
    }
}

/// What Postgres says of `operation`, without the rows that it may quote.
fn database(operation: &'static str) -> impl Fn(sqlx::Error) -> Failure {
    move |error| ArchiveError::database(operation, &error).into()
}
