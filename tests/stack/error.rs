//! What can go wrong while the stack is brought up or used.

use std::io;

/// Result of everything in the stack.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An operation of the stack that failed; the message names the operation and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program or file that must be there first.
    #[error("{what} is missing; {remedy}")]
    Missing {
        /// The program or file.
        what: String,
        /// The command that brings it.
        remedy: String,
    },
    /// The operating system refused.
    #[error("{operation}: {source}")]
    Io {
        /// Verb and object.
        operation: String,
        /// The system's answer.
        source: io::Error,
    },
    /// Postgres refused.
    #[error("{operation}: {source}")]
    Database {
        /// Verb and object.
        operation: String,
        /// Postgres's answer.
        source: sqlx::Error,
    },
    /// A migration does not apply.
    #[error("{operation}: {source}")]
    Migration {
        /// Verb and object.
        operation: String,
        /// What sqlx says of the migration.
        source: sqlx::migrate::MigrateError,
    },
    /// A server or program of the stack did not do what was asked.
    #[error("{operation}: {detail}")]
    Failed {
        /// Verb and object.
        operation: String,
        /// The other side's words.
        detail: String,
    },
}

impl Error {
    pub(crate) fn missing(what: impl Into<String>, remedy: impl Into<String>) -> Error {
        Error::Missing { what: what.into(), remedy: remedy.into() }
    }

    /// The other side did not do what was asked.
    pub fn failed(operation: impl Into<String>, detail: &(impl ToString + ?Sized)) -> Error {
        Error::Failed { operation: operation.into(), detail: detail.to_string() }
    }

    pub(crate) fn io(operation: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        let operation = operation.into();
        move |source| Error::Io { operation, source }
    }

    /// Names the operation that Postgres refused.
    pub fn database(operation: impl Into<String>) -> impl FnOnce(sqlx::Error) -> Error {
        let operation = operation.into();
        move |source| Error::Database { operation, source }
    }

    /// An AWS SDK error with the service's own words, which `Display` of the SDK's error leaves out.
    pub(crate) fn aws<E: std::error::Error + 'static>(
        operation: impl Into<String>,
    ) -> impl FnOnce(E) -> Error {
        let operation = operation.into();
        move |error| Error::Failed { operation, detail: chain(&error) }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}
