//! The backup function: writes full backups to the bucket, and lists what is there.
//!
//! It holds public keys only. In AWS it may write objects and list them, and not read one.

use std::sync::Arc;
use std::time::SystemTime;

use recoup::archive::backup::{BackupMade, BackupSource};
use recoup::archive::encryption::Encryption;
use recoup::archive::schema::SchemaSelection;
use recoup::archive::store::S3Store;
use recoup::archive::summary::{ListedBackup, check_label, list_backups};
use recoup::config::Env;
use recoup::db;
use recoup::failure::Failure;
use recoup::invocation::{Operation, Request};
use recoup::secrets::{SecretStore, database_url};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// What the function is asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupRequest {
    backup_type: Option<String>,
    label: Option<String>,
    action: Option<String>,
}

impl Request for BackupRequest {
    const ACCEPTS: &'static str = "backup_type \"full\" with an optional label of up to 60 bytes, or action \"list\" alone; other kinds of backup are not in this version";
    const EXAMPLE: &'static str = r#"{"backup_type":"full","label":"before release 12"}"#;
}

/// What the function answers.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum BackupReply {
    /// A backup was made.
    Made(Box<MadeReply>),
    /// The backups that the bucket has.
    List {
        /// Complete ones, newest first.
        backups: Vec<ListedBackup>,
        /// Folders without a manifest.
        incomplete: Vec<String>,
    },
}

/// A backup that was made.
#[derive(Debug, Serialize)]
pub struct MadeReply {
    backup_id: String,
    backup_type: String,
    status: &'static str,
    label: Option<String>,
    record_count: u64,
    file_size_bytes: u64,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
    tables: Vec<TableReply>,
    unsupported: Vec<String>,
    warnings: Vec<String>,
    elapsed_seconds: f64,
}

/// One table of a backup.
#[derive(Debug, Serialize)]
pub struct TableReply {
    table: String,
    rows: u64,
}

/// The function.
pub struct Backup<S> {
    secrets: S,
    database_secret_id: String,
    store: Arc<S3Store>,
    encryption: Encryption,
    schemas: SchemaSelection,
    connections: usize,
    retention_full: time::Duration,
}

enum Wanted {
    Full { label: Option<String> },
    List,
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
            retention_full: time::Duration::days(env.parsed::<u16>("BACKUP_RETENTION_DAYS_FULL", 90).into()),
        };
        env.finish()?;
        Ok(backup)
    }

    async fn full(&self, label: Option<String>, deadline: SystemTime) -> Result<BackupReply, Failure> {
        let url = database_url(&self.secrets, &self.database_secret_id).await?;
        let source = BackupSource {
            options: db::options(url.expose_secret(), "recoup backup")?,
            store: Arc::clone(&self.store),
            encryption: self.encryption.clone(),
            schemas: self.schemas.clone(),
            connections: self.connections.max(1),
        };
        let made = source.full(label, self.retention_full, deadline).await?;
        Ok(BackupReply::Made(Box::new(reply(made))))
    }
}

impl<S: SecretStore + Sync> Operation for Backup<S> {
    type Request = BackupRequest;
    type Reply = BackupReply;

    async fn run(&self, request: BackupRequest, deadline: SystemTime) -> Result<BackupReply, Failure> {
        match wanted(request)? {
            Wanted::Full { label } => Box::pin(self.full(label, deadline)).await,
            Wanted::List => {
                let list = list_backups(&*self.store).await.map_err(Failure::from)?;
                Ok(BackupReply::List { backups: list.backups, incomplete: list.incomplete })
            }
        }
    }
}

fn wanted(request: BackupRequest) -> Result<Wanted, Failure> {
    let refuse = |reason: String| {
        let (accepts, example) = (BackupRequest::ACCEPTS, BackupRequest::EXAMPLE);
        Failure::invalid_request(format!("{reason}. Accepted: {accepts}. Example: {example}"))
    };
    let BackupRequest { backup_type, label, action } = request;
    match (action.as_deref(), backup_type.as_deref()) {
        (None, Some("full")) => {
            if let Some(label) = &label {
                check_label(label)?;
            }
            Ok(Wanted::Full { label })
        }
        (Some("list"), None) if label.is_none() => Ok(Wanted::List),
        (Some("list"), _) => Err(refuse("action \"list\" takes no other field".to_owned())),
        (Some(other), _) => Err(refuse(format!("action {other:?} is not known"))),
        (None, Some(other)) => Err(refuse(format!("backup_type {other:?} is not known"))),
        (None, None) => Err(refuse("neither backup_type nor action is given".to_owned())),
    }
}

fn reply(made: BackupMade) -> MadeReply {
    let BackupMade { manifest, warnings } = made;
    let tables = manifest.tables.iter();
    MadeReply {
        tables: tables
            .map(|table| TableReply { table: table.qualified_name(), rows: table.row_count })
            .collect(),
        backup_id: manifest.backup_id,
        backup_type: manifest.backup_type,
        status: "completed",
        label: manifest.label,
        record_count: manifest.totals.rows,
        file_size_bytes: manifest.totals.bytes_stored,
        created_at: manifest.started_at,
        expires_at: manifest.expires_at,
        unsupported: manifest.unsupported,
        warnings,
        elapsed_seconds: (manifest.finished_at - manifest.started_at).as_seconds_f64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use recoup::invocation::parse;
    use serde_json::json;

    #[test]
    fn what_is_not_accepted_is_refused_with_what_is() {
        for payload in [
            json!({"backup_type": "payments"}),
            json!({"backup_type": "Full"}),
            json!({"action": "prune"}),
            json!({"action": "list", "backup_type": "full"}),
            json!({"label": "x"}),
            json!({"backup_type": "full", "label": ""}),
            json!({"backup_type": "full", "labl": "x"}),
            json!({}),
        ] {
            let failure = match parse::<BackupRequest>(payload.clone()).map(wanted) {
                Err(failure) | Ok(Err(failure)) => failure,
                Ok(Ok(_)) => panic!("{payload} was accepted"),
            };
            assert_eq!(failure.error_type(), "InvalidRequest", "{payload}");
        }
        let example = serde_json::from_str(BackupRequest::EXAMPLE).expect("json");
        assert!(wanted(parse(example).expect("accepted")).is_ok());
        assert!(wanted(parse(json!({"action": "list"})).expect("accepted")).is_ok());
        assert!(wanted(parse(json!({"backup_type": "full", "label": null})).expect("accepted")).is_ok());
    }
}
