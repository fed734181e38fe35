//! Why a copy did not go live.

use serde::Serialize;

use crate::archive::ArchiveError;
use crate::failure::Failure;

/// Why a copy did not go live, or did not go away.
#[derive(Debug, thiserror::Error)]
pub enum PromoteError {
    /// The request asks for something that cannot be done as it stands.
    #[error("{0}")]
    InvalidRequest(String),
    /// There is no such database.
    #[error("find database {database}: {remedy}")]
    DatabaseMissing {
        /// Its name.
        database: String,
        /// What to do.
        remedy: String,
    },
    /// The copy, or the database, is not one that this may be done with.
    #[error("{operation}: {reason}")]
    Refused {
        /// Operation and object.
        operation: String,
        /// Why, and what to do.
        reason: String,
    },
    /// Somebody else is at it.
    #[error(
        "{operation}: another promote, undo or discard is at work on this database, and nothing was changed; run it again when that one has answered"
    )]
    Busy {
        /// Operation and object.
        operation: String,
    },
    /// Sessions that could not be ended.
    #[error(
        "{operation}: {} of database {database} could not be ended and nothing was changed; end them, or run this as a role that may: {}",
        count(.sessions), listed(.sessions)
    )]
    SessionsRemain {
        /// Operation and object.
        operation: String,
        /// Whose sessions.
        database: String,
        /// What they are.
        sessions: Vec<super::sessions::Session>,
    },
    /// Rows that a unique constraint of production keeps out.
    #[error(
        "{operation}: production has other rows that the constraints are for, and nothing was changed; leave these tables out, or settle the rows first"
    )]
    Conflict {
        /// Operation and object.
        operation: String,
        /// Which tables and constraints, and some keys.
        conflicts: serde_json::Value,
    },
    /// What was written is not what the copy has.
    #[error("{operation}: {reason}; nothing was changed")]
    NotEqual {
        /// Operation and object.
        operation: String,
        /// Which table, why, and what to do.
        reason: String,
    },
    /// Reading, writing, connecting.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

fn count(sessions: &[super::sessions::Session]) -> String {
    match sessions.len() {
        1 => "1 session".to_owned(),
        several => format!("{several} sessions"),
    }
}

fn listed(sessions: &[super::sessions::Session]) -> String {
    let named: Vec<String> = sessions.iter().take(10).map(ToString::to_string).collect();
    named.join("; ")
}

impl PromoteError {
    /// An error of Postgres during `operation` (verb and object).
    pub fn database(operation: impl Into<String>, error: &sqlx::Error) -> Self {
        Self::Archive(ArchiveError::database(operation, error))
    }

    /// The stable type for alarms and scripts.
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "InvalidRequest",
            Self::DatabaseMissing { .. } => "DatabaseMissing",
            Self::Refused { .. } => "PromoteRefused",
            Self::Busy { .. } => "PromoteRunning",
            Self::SessionsRemain { .. } => "SessionsRemain",
            Self::Conflict { .. } => "PromoteConflict",
            Self::NotEqual { .. } => "PromoteNotEqual",
            Self::Archive(error) => error.error_type(),
        }
    }
}

impl From<Failure> for PromoteError {
    fn from(failure: Failure) -> Self {
        Self::Archive(failure.into())
    }
}

impl From<PromoteError> for Failure {
    fn from(error: PromoteError) -> Self {
        #[derive(Serialize)]
        struct Findings<'a, T: Serialize> {
            found: &'a T,
        }
        match error {
            PromoteError::Archive(error) => error.into(),
            error => {
                let failure = Self::new(error.error_type(), error.to_string());
                match &error {
                    PromoteError::SessionsRemain { sessions, .. } => {
                        failure.with_findings(&Findings { found: sessions })
                    }
                    PromoteError::Conflict { conflicts, .. } => {
                        failure.with_findings(&Findings { found: conflicts })
                    }
                    _ => failure,
                }
            }
        }
    }
}
