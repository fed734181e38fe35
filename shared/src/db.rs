//! Connections to Postgres.

mod statements;

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};

pub use self::statements::{Pooled, SETTINGS, Statements};
use crate::failure::Failure;

/// How long a connection may take to open before the database counts as unavailable.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads a connection URL (`postgres://user:password@host:port/database?sslmode=…`) and names the
/// application in `pg_stat_activity`.
///
/// # Errors
/// `DatabaseUrlInvalid`; the URL itself is never shown, since it holds a password.
pub fn options(url: &str, application_name: &str) -> Result<PgConnectOptions, Failure> {
    let options = PgConnectOptions::from_str(url).map_err(|_| {
        Failure::new(
            "DatabaseUrlInvalid",
            "read the database URL: it is not of the form postgres://user:password@host:port/database; correct the secret",
        )
    })?;
    Ok(options.application_name(application_name).disable_statement_logging())
}

/// Opens one connection, within [`CONNECT_TIMEOUT`].
///
/// # Errors
/// `DatabaseUnavailable` with Postgres' own reason; `DatabaseLoginRefused` where that is who we are: the secret
/// may have changed since it was read.
pub async fn connect(options: &PgConnectOptions) -> Result<PgConnection, Failure> {
    match tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(options)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(match error.as_database_error() {
            // The server's own words, without the place in its source that sqlx adds.
            Some(refusal) => {
                // PostgreSQL documentation, appendix A: class 28 is an invalid authorization.
                let login = refusal.code().is_some_and(|code| code.starts_with("28"));
                let error_type = if login { "DatabaseLoginRefused" } else { "DatabaseUnavailable" };
                unavailable(error_type, options)
                    .with_source(std::io::Error::other(refusal.message().to_owned()))
            }
            None => unavailable("DatabaseUnavailable", options).with_source(error),
        }),
        Err(_) => Err(unavailable("DatabaseUnavailable", options)
            .with_source(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer within 5 seconds"))),
    }
}

fn unavailable(error_type: &'static str, options: &PgConnectOptions) -> Failure {
    Failure::new(
        error_type,
        format!(
            "connect to Postgres at {}:{}, database {}: check that it runs and that the secret's user may log in",
            options.get_host(),
            options.get_port(),
            options.get_database().unwrap_or("(default)"),
        ),
    )
}
