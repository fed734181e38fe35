//! What has to hold before databases change their names.

use sqlx::Connection;

use super::error::PromoteError;
use super::mark::Mark;
use super::server::{Database, Server};
use super::sessions::{Session, sessions_of};
use crate::archive::session::quote_ident;
use crate::db;

/// Says no.
pub(super) fn refused(operation: &str, reason: impl Into<String>) -> PromoteError {
    PromoteError::Refused { operation: operation.to_owned(), reason: reason.into() }
}

/// Refuses what was not proven equal to a whole backup, unless it is forced by name.
pub(super) fn check_fit(operation: &str, copy: &Database, force: Option<&str>) -> Result<(), PromoteError> {
    let mark = copy.mark();
    if mark.is_whole_copy() || force == Some(&copy.name) {
        return Ok(());
    }
    let state = match mark {
        Mark::Staging(state) => format!("its mark says {state:?}"),
        Mark::Kept(exchange) => {
            format!(
                "it was production until {}; bring it back with restore {{\"action\":\"undo\"}}",
                exchange.at
            )
        }
        Mark::Undone(exchange) => format!("it was production until that was undone at {}", exchange.at),
        Mark::Promoted(_) | Mark::Foreign(_) => "it has no mark of a restore that proved it".to_owned(),
    };
    Err(refused(
        operation,
        format!(
            "{state}, and only a copy that was proven equal to a whole backup goes live; restore one, or force it by its name: \"force\":\"{}\"",
            copy.name
        ),
    ))
}

/// A database is renamed by its owner, who may create databases, and has no prepared transaction.
pub(super) async fn check_rights(
    server: &mut Server,
    operation: &str,
    current: Option<&Database>,
    next: &Database,
) -> Result<(), PromoteError> {
    let may_create: bool = sqlx::query_scalar(
        "SELECT rolsuper OR rolcreatedb FROM pg_catalog.pg_roles WHERE rolname = current_user",
    )
    .persistent(false)
    .fetch_one(&mut server.connection)
    .await
    .map_err(|error| PromoteError::database("ask for our own rights", &error))?;
    if !may_create {
        return Err(refused(operation, "our role may not rename databases; grant it CREATEDB"));
    }
    for database in current.into_iter().chain([next]) {
        let name = &database.name;
        if !database.is_ours {
            let owner = &database.owner;
            let reason = format!(
                "database {name} belongs to role {owner}; make our role a member of it, or its owner"
            );
            return Err(refused(operation, reason));
        }
        if !database.lets_in {
            let reason = format!(
                "database {name} takes no connections; ALTER DATABASE {} ALLOW_CONNECTIONS true changes that",
                quote_ident(name)
            );
            return Err(refused(operation, reason));
        }
        if database.prepared > 0 {
            let reason = format!(
                "database {name} has {} prepared transactions; end them with COMMIT PREPARED or ROLLBACK PREPARED, pg_prepared_xacts lists them",
                database.prepared
            );
            return Err(refused(operation, reason));
        }
    }
    Ok(())
}

pub(super) async fn sessions_to_end(
    server: &mut Server,
    current: Option<&Database>,
    next: &Database,
) -> Result<Vec<Session>, PromoteError> {
    let mut sessions = sessions_of(&mut server.connection, next.oid).await?;
    if let Some(current) = current {
        sessions.extend(sessions_of(&mut server.connection, current.oid).await?);
    }
    Ok(sessions)
}

/// What cannot be ended is found before anybody is kept out.
pub(super) fn check_sessions(
    operation: &str,
    database: &str,
    sessions: Vec<Session>,
) -> Result<(), PromoteError> {
    let remain: Vec<Session> = sessions.into_iter().filter(|session| !session.may_end).collect();
    if remain.is_empty() {
        return Ok(());
    }
    Err(PromoteError::SessionsRemain {
        operation: operation.to_owned(),
        database: database.to_owned(),
        sessions: remain,
    })
}

pub(super) fn slots_warning(current: &Database) -> Option<String> {
    (!current.slots.is_empty()).then(|| {
        format!(
            "replication slots stay with the database that goes: {}; make them anew on the one that comes",
            current.slots.join(", ")
        )
    })
}

/// A copy of an old backup may lack migrations that the functions count on.
pub(super) async fn migrations_warning(server: &Server, production: &str, copy: &str) -> Option<String> {
    let (there, here) = (newest_migration(server, production).await?, newest_migration(server, copy).await);
    (here != Some(there)).then(|| {
        let here = here.map_or("none".to_owned(), |version| version.to_string());
        format!("the newest migration is {there} in production and {here} in the copy: apply what is missing once it is live")
    })
}

async fn newest_migration(server: &Server, database: &str) -> Option<i64> {
    let mut connection = db::connect(&server.options_of(database)).await.ok()?;
    let newest = sqlx::query_scalar("SELECT max(version) FROM recoup._sqlx_migrations")
        .persistent(false)
        .fetch_one(&mut connection)
        .await;
    let _ = connection.close().await;
    newest.ok()?
}
