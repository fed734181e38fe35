//! Sessions of a database that is to be renamed: who they are, and their end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;
use sqlx::{FromRow, PgConnection};

use super::error::PromoteError;
use crate::archive::error::DatabaseReason;

/// How long to wait before looking again for sessions.
const PAUSE: Duration = Duration::from_millis(10);

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct Session {
    /// Its process.
    pub pid: i32,
    /// Whose it is; empty for a process of the server's own.
    pub role: String,
    /// What it calls itself.
    pub application: String,
    /// `client backend`, `walsender` and so on.
    pub kind: String,
    /// Whether we may end it.
    pub may_end: bool,
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, role, application, kind, .. } = self;
        write!(f, "pid {pid}, {kind} of role {role:?}, application {application:?}")
    }
}

/// Who is in the database with this oid.
///
/// # Errors
/// [`PromoteError::Archive`].
pub async fn sessions_of(connection: &mut PgConnection, oid: i64) -> Result<Vec<Session>, PromoteError> {
    sqlx::query_as(include_str!("sql/sessions.sql"))
        .bind(oid)
        .persistent(false)
        .fetch_all(connection)
        .await
        .map_err(|error| PromoteError::database("list the sessions of the database", &error))
}

/// Ends every session of the database, and those that come after, until `done`. What cannot be ended is left, once it was
/// tried; the caller learns of it from [`sessions_of`].
///
/// # Errors
/// [`PromoteError::Archive`] where the connection fails.
pub async fn end_sessions(
    connection: &mut PgConnection,
    oid: i64,
    done: &AtomicBool,
) -> Result<(), PromoteError> {
    let mut refused: BTreeSet<i32> = BTreeSet::new();
    while !done.load(Ordering::Relaxed) {
        for session in sessions_of(connection, oid).await? {
            if refused.contains(&session.pid) {
                continue;
            }
            let ended = sqlx::query("SELECT pg_catalog.pg_terminate_backend($1)")
                .bind(session.pid)
                .persistent(false)
                .execute(&mut *connection)
                .await;
            match ended {
                Ok(_) => {}
                Err(error) if error.as_database_error().is_some() => {
                    let reason = DatabaseReason::of(&error).to_string();
                    tracing::warn!(
                        pid = session.pid,
                        role = session.role,
                        reason,
                        "a session cannot be ended"
                    );
                    refused.insert(session.pid);
                }
                Err(error) => return Err(PromoteError::database("end the sessions of the database", &error)),
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Sessions, counted by who they are: what a plan shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionCount {
    /// Whose they are.
    pub role: String,
    /// What they call themselves.
    pub application: String,
    /// How many.
    pub sessions: usize,
    /// Whether we may end them.
    pub may_end: bool,
}

/// Counts them.
pub fn counted(sessions: &[Session]) -> Vec<SessionCount> {
    let mut counts: BTreeMap<(&str, &str, bool), usize> = BTreeMap::new();
    for session in sessions {
        *counts.entry((&session.role, &session.application, session.may_end)).or_default() += 1;
    }
    let count = |((role, application, may_end), sessions): ((&str, &str, bool), usize)| SessionCount {
        role: role.to_owned(),
        application: application.to_owned(),
        sessions,
        may_end,
    };
    counts.into_iter().map(count).collect()
}
