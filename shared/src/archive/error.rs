//! What can go wrong with a backup, and what each case is called at the door.

use std::fmt;

use crate::failure::Failure;

use super::schema::SchemaError;
use super::store::StoreError;

/// One object of a backup that is not what the manifest promises.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Damage {
    /// The object's key inside the backup's folder.
    pub object: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Damage {
    /// Damage of one object.
    pub fn new(object: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { object: object.into(), reason: reason.into() }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.object, self.reason)
    }
}

/// Damaged objects that are named; the others are counted.
const DAMAGE_NAMED_MAX: usize = 20;

fn listed(damage: &[Damage]) -> String {
    let named = damage.iter().take(DAMAGE_NAMED_MAX).map(Damage::to_string).collect::<Vec<_>>().join("; ");
    match damage.len().saturating_sub(DAMAGE_NAMED_MAX) {
        0 => named,
        more => format!("{named}; and {more} more"),
    }
}

/// Why a backup could not be made, read or restored.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The request asks for something that cannot be done as it stands.
    #[error("{0}")]
    InvalidRequest(String),
    /// No manifest stands under this id.
    #[error("find backup {backup_id}: {found}; list the backups with backup {{\"action\":\"list\"}}")]
    BackupNotFound {
        /// What was asked for.
        backup_id: String,
        /// What is there instead.
        found: String,
    },
    /// At least one object is missing, changed, or does not belong.
    #[error(
        "read backup {backup_id}: {} damaged: {}; use another backup, and take a new one now",
        count(.damage), listed(.damage)
    )]
    BackupDamaged {
        /// The backup.
        backup_id: String,
        /// Every damaged object that was found.
        damage: Vec<Damage>,
    },
    /// None of the identities opens this backup.
    #[error(
        "open backup {backup_id}: none of the {identities} identities in the backup key's secret belongs to its recipients ({}); add the matching AGE-SECRET-KEY to the secret's identities",
        .recipients.join(", ")
    )]
    WrongKey {
        /// The backup.
        backup_id: String,
        /// How many identities were tried.
        identities: usize,
        /// Whom the backup was encrypted to.
        recipients: Vec<String>,
    },
    /// The backup was written by a later version in a format that this one does not know.
    #[error(
        "read backup {backup_id}: its format is version {version} and this recoup reads up to version {known}; deploy the version that wrote it"
    )]
    FormatUnknown {
        /// The backup.
        backup_id: String,
        /// The version in its manifest.
        version: u64,
        /// The version that is understood here.
        known: u32,
    },
    /// A request names a table that there is none of, or that holds no rows to copy.
    #[error("back up table {table}: {reason}")]
    UnknownTable {
        /// As a request would name it.
        table: String,
        /// What is there instead, and what to do.
        reason: String,
    },
    /// The database to restore into is already there.
    #[error(
        "create database {database}: it exists already; give another target_database, or drop it first if it is an abandoned copy (psql -c 'DROP DATABASE {quoted}')"
    )]
    StagingExists {
        /// Its name.
        database: String,
        /// Its name as SQL.
        quoted: String,
    },
    /// The copy is not equal to what was backed up.
    #[error(
        "compare database {database} with backup {backup_id}: {difference}; the copy was not kept; verify the backup and report this"
    )]
    NotEqual {
        /// The database that was restored.
        database: String,
        /// The backup.
        backup_id: String,
        /// The tables that differ.
        difference: String,
    },
    /// A table was rewritten, truncated, dropped or altered while it was being backed up.
    #[error(
        "back up table {table}: it was altered, truncated or rewritten while the backup began, and its snapshot can no longer be read; run the backup again when no migration runs"
    )]
    TableChanged {
        /// `schema.table`.
        table: String,
    },
    /// The invocation came too near to its time limit.
    #[error(
        "{operation}: Lambda's time limit is near; nothing half done was left; give the function more time or memory"
    )]
    TimeLimit {
        /// What was being done.
        operation: &'static str,
    },
    /// A prune that looks like a mistake.
    #[error("prune the backups: {0}")]
    PruneRefused(String),
    /// Ages mean nothing: clocks contradict each other.
    #[error("compare the clocks: {0}; nothing was changed; set the clock that is wrong, then run it again")]
    ClockSkew(String),
    /// Postgres refused or failed.
    #[error("{operation}: {reason}")]
    Database {
        /// Operation and object.
        operation: String,
        /// What Postgres said, without the rows that it may have quoted.
        reason: DatabaseReason,
    },
    /// An older server refused what a newer one wrote.
    #[error(
        "{operation}: Postgres {server} refused what Postgres {backup} wrote ({reason}); restore it on Postgres {backup} or later"
    )]
    NewerPostgres {
        /// Operation and object.
        operation: String,
        /// What Postgres said.
        reason: DatabaseReason,
        /// Major version that the backup is of.
        backup: i32,
        /// Major version of the server.
        server: i32,
    },
    /// The bucket refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A key cannot be read, or encryption failed.
    #[error("{operation}: {reason}")]
    Encryption {
        /// Operation and object.
        operation: String,
        /// Why.
        reason: String,
    },
    /// A thread of this process ended before its work did.
    #[error("{operation}: the work was interrupted; run it again")]
    Interrupted {
        /// Operation and object.
        operation: String,
    },
    /// Another module's failure, passed on as it is.
    #[error(transparent)]
    Other(#[from] Failure),
    /// A failure with what was done to clean up after it.
    #[error("{error}. {outcome}")]
    CleanedUp {
        /// The failure itself.
        error: Box<ArchiveError>,
        /// What was cleaned up, or could not be.
        outcome: String,
    },
}

fn count(damage: &[Damage]) -> String {
    match damage.len() {
        1 => "1 object is".to_owned(),
        several => format!("{several} objects are"),
    }
}

impl ArchiveError {
    /// An error of Postgres during `operation` (verb and object).
    pub fn database(operation: impl Into<String>, error: &sqlx::Error) -> Self {
        Self::Database { operation: operation.into(), reason: DatabaseReason::of(error) }
    }

    /// The damaged objects, as findings: which backup, how many, the first of them.
    fn findings(&self) -> Option<serde_json::Value> {
        match self {
            Self::BackupDamaged { backup_id, damage } => {
                let objects = &damage[..damage.len().min(DAMAGE_NAMED_MAX)];
                Some(serde_json::json!({"backup_id": backup_id, "damaged": damage.len(), "objects": objects}))
            }
            Self::CleanedUp { error, .. } => error.findings(),
            _ => None,
        }
    }

    /// The stable type for alarms and scripts.
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "InvalidRequest",
            Self::BackupNotFound { .. } => "BackupNotFound",
            Self::BackupDamaged { .. } => "BackupDamaged",
            Self::WrongKey { .. } => "WrongKey",
            Self::FormatUnknown { .. } => "BackupFormatUnknown",
            Self::UnknownTable { .. } => "UnknownTable",
            Self::StagingExists { .. } => "StagingExists",
            Self::NotEqual { .. } => "RestoreNotEqual",
            Self::TableChanged { .. } => "TableChanged",
            Self::TimeLimit { .. } => "TimeLimit",
            Self::PruneRefused(_) => "PruneRefused",
            Self::ClockSkew(_) => "ClockSkew",
            Self::Database { reason, .. } => reason.error_type(),
            Self::NewerPostgres { .. } => "NewerPostgresNeeded",
            Self::Store(error) => error.error_type(),
            Self::Encryption { .. } => "EncryptionFailed",
            Self::Interrupted { .. } => "Interrupted",
            Self::Other(failure) => failure.error_type(),
            Self::CleanedUp { error, .. } => error.error_type(),
        }
    }
}

impl From<SchemaError> for ArchiveError {
    fn from(error: SchemaError) -> Self {
        match error {
            SchemaError::Catalog { what, source } => {
                Self::database(format!("read the definitions ({what})"), &source)
            }
            SchemaError::UnknownSchema(name) => Self::InvalidRequest(format!(
                "read schema {name}: it does not exist; correct BACKUP_SCHEMAS, a list of names parted by commas"
            )),
        }
    }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Other(failure) => failure,
            error => {
                let failure = Failure::new(error.error_type(), error.to_string());
                match error.findings() {
                    None => failure,
                    Some(findings) => failure.with_findings(&findings),
                }
            }
        }
    }
}

/// What Postgres said. Messages of the classes that quote a row's values (22, 23 and P0) are left out:
/// an error goes to logs, and personal data must not.
#[derive(Debug)]
pub struct DatabaseReason {
    sqlstate: Option<String>,
    text: String,
}

impl DatabaseReason {
    /// Reads an error of the driver.
    pub fn of(error: &sqlx::Error) -> Self {
        let Some(database) = error.as_database_error() else {
            return Self {
                sqlstate: None,
                text: format!("the connection failed ({error}); check that Postgres runs and can be reached"),
            };
        };
        let sqlstate = database.code().unwrap_or_default().into_owned();
        let quotes_values =
            ["22", "23", "P0"].into_iter().any(|class| sqlstate.starts_with(class)) || sqlstate == "42804";
        let text = if quotes_values {
            let object = [("table", database.table()), ("constraint", database.constraint())]
                .into_iter()
                .filter_map(|(kind, name)| Some(format!(" {kind} {}", name?)))
                .collect::<String>();
            format!("Postgres refused the data (SQLSTATE {sqlstate}{object})")
        } else {
            format!("{} (SQLSTATE {sqlstate})", database.message())
        };
        let remedy = match sqlstate.as_str() {
            "42501" => "; grant the secret's user the right, or use a user that has it",
            "55P03" => "; another session holds a lock, often a migration: run again when it is done",
            "42P01" => {
                "; it was dropped meanwhile, or migrations are not applied: apply them, then run again"
            }
            "53100" => "; the database server's disk is full: make room",
            "57014" => "; the server cancelled the statement: run again",
            _ => "",
        };
        Self { sqlstate: Some(sqlstate), text: text + remedy }
    }

    /// Whether Postgres gave this SQLSTATE.
    pub fn is(&self, sqlstate: &str) -> bool {
        self.sqlstate.as_deref() == Some(sqlstate)
    }

    /// Whether the connection or the server went away, which says nothing about what was asked.
    pub fn is_lost(&self) -> bool {
        self.sqlstate.as_deref().is_none_or(|state| state.starts_with("08") || state.starts_with("57"))
    }

    /// Whether Postgres understood what was asked, and would not do it: not a right, a lock or a resource that lacks.
    pub fn is_refusal(&self) -> bool {
        self.error_type() == "DatabaseRefused"
    }

    fn error_type(&self) -> &'static str {
        match self.sqlstate.as_deref() {
            None => "DatabaseUnavailable",
            Some("42501") => "PermissionDenied",
            Some("55P03") => "DatabaseLocked",
            Some(state) if ["08", "53", "57"].into_iter().any(|class| state.starts_with(class)) => {
                "DatabaseUnavailable"
            }
            Some(_) => "DatabaseRefused",
        }
    }
}

impl fmt::Display for DatabaseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_names_every_object_at_the_door() {
        let error = ArchiveError::BackupDamaged {
            backup_id: "20261121T020000Z-full-7f3a9c01".to_owned(),
            damage: vec![
                Damage::new("RESTORE.md", "SHA-256 differs"),
                Damage::new("schema.sql.age", "missing"),
            ],
        };
        let failure = Failure::from(error);
        assert_eq!(failure.error_type(), "BackupDamaged");
        let message = failure.to_string();
        assert!(
            message.contains("2 objects are damaged: RESTORE.md (SHA-256 differs); schema.sql.age (missing)")
        );
        let objects = &failure.findings().expect("findings")["objects"];
        assert_eq!(objects[1]["object"], "schema.sql.age");
    }

    #[test]
    fn of_much_damage_the_first_is_named_and_all_of_it_counted() {
        let damage = (0..1000).map(|part| Damage::new(format!("data/a.b/{part:05}"), "missing")).collect();
        let error = ArchiveError::BackupDamaged { backup_id: "x".to_owned(), damage };
        let failure = Failure::from(error);
        let message = failure.to_string();
        assert!(
            message.contains("1000 objects are damaged") && message.contains("and 980 more"),
            "{message}"
        );
        assert!(!message.contains("00020"), "{message}");
        assert_eq!(failure.findings().expect("findings")["damaged"], 1000);
    }
}
