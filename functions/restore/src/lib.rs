//! The restore function: rebuilds a backup in a database of its own and proves it equal. Production is
//! compared with it and never written.

use std::sync::Arc;
use std::time::SystemTime;

use recoup::archive::encryption::Identities;
use recoup::archive::manifest::SelectionEntry;
use recoup::archive::names::key_timestamp;
use recoup::archive::reading::Backup;
use recoup::archive::restore::{Difference, RestoreTarget, Restored, RestoredTable, check_name};
use recoup::archive::store::S3Store;
use recoup::archive::summary::find_backup;
use recoup::config::Env;
use recoup::db;
use recoup::failure::Failure;
use recoup::invocation::{Operation, Request};
use recoup::secrets::{SecretStore, age_identities, database_url};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// What the function is asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreRequest {
    #[serde(rename = "action")]
    _action: Action,
    backup_id: String,
    target_database: Option<String>,
}

/// What can be restored.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A whole backup.
    BackupRestore,
}

impl Request for RestoreRequest {
    const ACCEPTS: &'static str = "action \"backup_restore\", backup_id, a backup's name, \"latest\" for the newest full one or \"latest-payments\" and so on, and optionally target_database, the name of a database that does not exist yet";
    const EXAMPLE: &'static str = r#"{"action":"backup_restore","backup_id":"latest"}"#;
}

/// What the function answers about a copy that is equal.
#[derive(Debug, Serialize)]
pub struct RestoreReply {
    restore_id: String,
    backup_id: String,
    backup_type: String,
    target_database: String,
    status: &'static str,
    /// Whether the copy holds the rows of a window only.
    partial: bool,
    /// What the copy may be used for: `promote` only where it holds everything.
    fit_for: &'static [&'static str],
    /// Which part of the database it is; absent where it is everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    selection: Option<SelectionEntry>,
    tables: Vec<RestoredTable>,
    difference_to_production: Difference,
    unsupported: Vec<String>,
    warnings: Vec<String>,
    elapsed_seconds: f64,
    rate: Rate,
}

/// How fast it went.
#[derive(Debug, Serialize)]
pub struct Rate {
    rows_per_second: f64,
    megabytes_per_second: f64,
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
        let began_at = OffsetDateTime::now_utc();
        let restore_id = format!("{}-restore-{:08x}", key_timestamp(began_at), rand::random::<u32>());
        let database = request.target_database.unwrap_or_else(|| {
            format!("recoup_restore_{}", key_timestamp(began_at).trim_end_matches('Z').to_ascii_lowercase())
        });
        check_name(&database)?;
        let id = find_backup(&*self.store, &request.backup_id).await?;
        let backup = Arc::new(Backup::open(Arc::clone(&self.store), id).await?);
        let identities = self.identities(&backup).await?;
        let url = database_url(&self.secrets, &self.database_secret_id).await?;
        let target = RestoreTarget {
            production: db::options(url.expose_secret(), "recoup restore")?,
            connections: self.connections.max(1),
        };
        let work = target.restore(Arc::clone(&backup), &identities, &restore_id, &database, deadline);
        let restored = Box::pin(work).await?;
        Ok(reply(restore_id, &backup, restored))
    }
}

fn reply(restore_id: String, backup: &Backup<S3Store>, restored: Restored) -> RestoreReply {
    let seconds = restored.elapsed.as_secs_f64().max(f64::EPSILON);
    let totals = backup.manifest.totals;
    RestoreReply {
        restore_id,
        backup_id: backup.id.to_string(),
        backup_type: backup.manifest.backup_type.clone(),
        partial: backup.manifest.partial,
        fit_for: if backup.manifest.is_everything() { &["promote", "merge"] } else { &["merge"] },
        selection: backup.manifest.selection.clone(),
        target_database: restored.database,
        status: "completed",
        tables: restored.tables,
        difference_to_production: restored.difference,
        unsupported: backup.manifest.unsupported.clone(),
        warnings: restored.warnings,
        elapsed_seconds: seconds,
        rate: Rate {
            rows_per_second: totals.rows as f64 / seconds,
            megabytes_per_second: totals.bytes_raw as f64 / 1e6 / seconds,
        },
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
            json!({"action": "backup_restore"}),
            json!({"backup_id": "latest"}),
            json!({"action": "promote", "backup_id": "latest"}),
            json!({"action": "backup_restore", "backup_id": "latest", "target": "x"}),
        ] {
            let failure = parse::<RestoreRequest>(payload).expect_err("refused");
            assert_eq!(failure.error_type(), "InvalidRequest");
        }
        let example = serde_json::from_str(RestoreRequest::EXAMPLE).expect("json");
        assert!(parse::<RestoreRequest>(example).is_ok());
    }
}
