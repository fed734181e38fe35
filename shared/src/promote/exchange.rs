//! The exchange itself: two databases change their names in one transaction.
//!
//! Postgres renames a database only where nobody is in it, and waits up to five seconds for sessions to go. From the
//! moment that it waits it holds the database's lock, which each new session needs before it is in. So the rename is
//! begun first, and the sessions are ended while it waits: nobody comes in after them, and nothing has to be switched off
//! before and on again afterwards. Names and comments change when the transaction commits, all of them or none: whoever
//! is killed before leaves everything as it was, and lets everybody in again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sqlx::PgConnection;

use super::error::PromoteError;
use super::mark::Mark;
use super::server::{Database, Server};
use super::sessions::{end_sessions, sessions_of};
use crate::archive::ArchiveError;
use crate::archive::session::{quote_ident, quote_literal, run};
use crate::db;

/// What is to be renamed.
pub struct Plan<'a> {
    /// What is done, for messages.
    pub operation: &'a str,
    /// The database that everybody uses, what it is to be called, and to be. None where it is gone.
    pub current: Option<(&'a Database, &'a str, Mark)>,
    /// Its name.
    pub name: &'a str,
    /// The database that takes the name.
    pub next: &'a Database,
    /// What it is to be.
    pub next_becomes: Mark,
}

/// Renames. Gives how long nobody could use the database.
///
/// # Errors
/// [`PromoteError::SessionsRemain`], [`PromoteError::Archive`]; everything is as it was then.
pub async fn exchange(server: &mut Server, plan: &Plan<'_>) -> Result<Duration, PromoteError> {
    let mut other = db::connect(&server.maintenance).await?;
    let connection = &mut server.connection;
    let in_between = format!("recoup_exchange_{:08x}", rand::random::<u32>());
    let begin = "BEGIN; SET LOCAL lock_timeout = '10s'; SET LOCAL statement_timeout = '20s'";
    run(connection, plan.operation, begin).await?;
    let done = rename(connection, &mut other, plan, &in_between).await;
    if done.is_err() {
        // It is over either way; where the connection is gone Postgres takes everything back itself.
        let _ = run(connection, plan.operation, "ROLLBACK").await;
    }
    done
}

async fn rename(
    connection: &mut PgConnection,
    other: &mut PgConnection,
    plan: &Plan<'_>,
    in_between: &str,
) -> Result<Duration, PromoteError> {
    // The one that nobody uses goes first: what is slow about it keeps nobody out.
    alone(connection, other, plan, plan.next, &plan.next.name, in_between).await?;
    let locked_out = Instant::now();
    let mut end = String::new();
    if let Some((current, becomes, mark)) = &plan.current {
        alone(connection, other, plan, current, &current.name, becomes).await?;
        end = format!("{}; ", comment_on(becomes, mark.comment().as_deref()));
    }
    alone(connection, other, plan, plan.next, in_between, plan.name).await?;
    end += &format!("{}; COMMIT", comment_on(plan.name, plan.next_becomes.comment().as_deref()));
    run(connection, plan.operation, &end).await?;
    Ok(locked_out.elapsed())
}

/// Renames a database, and ends its sessions while Postgres waits for that.
async fn alone(
    connection: &mut PgConnection,
    other: &mut PgConnection,
    plan: &Plan<'_>,
    database: &Database,
    from: &str,
    to: &str,
) -> Result<(), PromoteError> {
    let sql = format!("ALTER DATABASE {} RENAME TO {}", quote_ident(from), quote_ident(to));
    let done = AtomicBool::new(false);
    let rename = async {
        let renamed = run(connection, plan.operation, &sql).await;
        done.store(true, Ordering::Relaxed);
        renamed
    };
    let (renamed, ended) = tokio::join!(rename, end_sessions(other, database.oid, &done));
    ended?;
    match renamed {
        Ok(()) => Ok(()),
        Err(ArchiveError::Database { reason, .. }) if reason.is("55006") => {
            let sessions = sessions_of(other, database.oid).await?;
            Err(PromoteError::SessionsRemain {
                operation: plan.operation.to_owned(),
                database: database.name.clone(),
                sessions,
            })
        }
        Err(error) => Err(error.into()),
    }
}

/// Says what a database is.
pub fn comment_on(database: &str, comment: Option<&str>) -> String {
    let comment = comment.map_or("NULL".to_owned(), quote_literal);
    format!("COMMENT ON DATABASE {} IS {comment}", quote_ident(database))
}
