//! The verify function: is a backup whole? A damaged one is a function error, never a green reply.

use std::sync::Arc;
use std::time::SystemTime;

use recoup::archive::ArchiveError;
use recoup::archive::encryption::Identities;
use recoup::archive::reading::Backup;
use recoup::archive::store::S3Store;
use recoup::archive::summary::find_backup;
use recoup::archive::verify::{Verified, verify_full, verify_quick};

use recoup::config::Env;
use recoup::failure::Failure;
use recoup::invocation::{Operation, Request};
use recoup::secrets::{SecretStore, age_identities};
use serde::{Deserialize, Serialize};

/// What the function is asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyRequest {
    action: Action,
    backup_id: String,
}

/// How thoroughly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Manifest, listing, sizes.
    Quick,
    /// Every byte.
    Full,
}

impl Request for VerifyRequest {
    const ACCEPTS: &'static str = "action \"full\" (every byte) or \"quick\" (manifest, listing and sizes), and backup_id, a backup's name, \"latest\" for the newest full one or \"latest-payments\" and so on";
    const EXAMPLE: &'static str = r#"{"action":"full","backup_id":"latest"}"#;
}

/// What the function answers about a backup that is whole.
#[derive(Debug, Serialize)]
pub struct VerifyReply {
    action: Action,
    backup_id: String,
    status: &'static str,
    objects: u64,
    record_count: u64,
    bytes_stored: u64,
    bytes_raw: u64,
    encryption: String,
    elapsed_seconds: f64,
}

/// The function.
pub struct Verify<S> {
    secrets: S,
    key_secret_id: String,
    store: Arc<S3Store>,
}

impl<S: SecretStore + Sync> Verify<S> {
    /// Reads the configuration.
    ///
    /// # Errors
    /// `ConfigurationInvalid`, naming every variable at fault.
    pub fn from_env(mut env: Env, aws: &aws_config::SdkConfig, secrets: S) -> Result<Self, Failure> {
        let verify = Self {
            secrets,
            key_secret_id: env.required("BACKUP_KEY_SECRET_ID"),
            store: Arc::new(S3Store::from_env(&mut env, aws)),
        };
        env.finish()?;
        Ok(verify)
    }

    async fn full(&self, backup: Arc<Backup<S3Store>>, deadline: SystemTime) -> Result<Verified, Failure> {
        let identities = if backup.manifest.encryption.method == "none" {
            Identities::parse(&[])?
        } else {
            Identities::parse(&age_identities(&self.secrets, &self.key_secret_id).await?)?
        };
        let time_left = deadline.duration_since(SystemTime::now()).unwrap_or_default();
        match tokio::time::timeout(time_left, Box::pin(verify_full(backup, &identities))).await {
            Ok(verified) => Ok(verified?),
            Err(_) => Err(ArchiveError::TimeLimit { operation: "verify the backup" }.into()),
        }
    }
}

impl<S: SecretStore + Sync> Operation for Verify<S> {
    type Request = VerifyRequest;
    type Reply = VerifyReply;

    async fn run(&self, request: VerifyRequest, deadline: SystemTime) -> Result<VerifyReply, Failure> {
        let id = find_backup(&*self.store, &request.backup_id).await?;
        let backup = Arc::new(Backup::open(Arc::clone(&self.store), id).await?);
        let verified = match request.action {
            Action::Quick => verify_quick(&backup).await?,
            Action::Full => self.full(Arc::clone(&backup), deadline).await?,
        };
        Ok(VerifyReply {
            action: request.action,
            backup_id: backup.id.to_string(),
            status: "whole",
            objects: verified.objects,
            record_count: verified.rows,
            bytes_stored: verified.bytes_stored,
            bytes_raw: verified.bytes_raw,
            encryption: backup.manifest.encryption.method.clone(),
            elapsed_seconds: verified.elapsed_seconds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use recoup::invocation::parse;
    use serde_json::json;

    #[test]
    fn what_is_not_accepted_is_refused() {
        for payload in [
            json!({"action": "full"}),
            json!({"backup_id": "latest"}),
            json!({"action": "drill", "backup_id": "latest"}),
            json!({"action": "full", "backup_id": "latest", "deep": true}),
        ] {
            let failure = parse::<VerifyRequest>(payload).expect_err("refused");
            assert_eq!(failure.error_type(), "InvalidRequest");
        }
        let example = serde_json::from_str(VerifyRequest::EXAMPLE).expect("json");
        assert_eq!(parse::<VerifyRequest>(example).expect("accepted").action, Action::Full);
    }
}
