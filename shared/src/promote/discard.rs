//! `discard`: a copy that is not needed any more is dropped.

use serde::Serialize;
use serde_json::json;
use sqlx::postgres::PgConnectOptions;

use super::audit::Entry;
use super::checks::refused;
use super::error::PromoteError;
use super::mark::Mark;
use super::server::Server;
use super::sessions::{Session, sessions_of};
use super::swap::{Order, audit_in_production};
use crate::archive::session::{quote_ident, run};

/// What was dropped, or would be.
#[derive(Debug, Clone, Serialize)]
pub struct Discarded {
    /// `planned` or `discarded`.
    pub status: &'static str,
    /// The database.
    pub target_database: String,
    /// What its mark says.
    pub mark: String,
    /// Bytes that it takes on the server's disk.
    pub size_bytes: i64,
    /// What is to be known besides.
    pub warnings: Vec<String>,
}

/// Drops a database that recoup made and that nobody is connected to. What was production once, or has been written to as
/// production, goes only where it is forced by name.
///
/// # Errors
/// [`PromoteError`]; nothing is dropped then.
pub async fn discard(production: &PgConnectOptions, order: &Order) -> Result<Discarded, PromoteError> {
    let name = order.database.clone().unwrap_or_default();
    let operation = format!("discard database {name}");
    let mut server = Server::lock(production, &operation).await?;
    if name == server.production_name() {
        return Err(refused(&operation, "it is production"));
    }
    let database = server.database(&name).await?;
    let mark = database.mark();
    let forced = order.force.as_deref() == Some(&name);
    let by_name = format!("if it is to go all the same, force it by its name: \"force\":\"{name}\"");
    match &mark {
        Mark::Staging(_) => {}
        Mark::Foreign(_) | Mark::Promoted(_) => {
            return Err(refused(
                &operation,
                "it has no mark of a copy that recoup made; drop it yourself, if it is to go",
            ));
        }
        Mark::Kept(exchange) if !forced => {
            let reason = format!("it was production until {}, and the way back; {by_name}", exchange.at);
            return Err(refused(&operation, reason));
        }
        Mark::Undone(exchange) if !forced => {
            let reason = format!(
                "it was production until that was undone at {}, and has what was written meanwhile; {by_name}",
                exchange.at
            );
            return Err(refused(&operation, reason));
        }
        Mark::Kept(_) | Mark::Undone(_) => {}
    }
    let sessions = sessions_of(&mut server.connection, database.oid).await?;
    if !sessions.is_empty() {
        let named: Vec<String> = sessions.iter().map(Session::to_string).collect();
        let reason =
            format!("it is in use, perhaps by a restore: {}; end these sessions first", named.join("; "));
        return Err(refused(&operation, reason));
    }
    let size_bytes: i64 = sqlx::query_scalar("SELECT pg_catalog.pg_database_size($1::int8::oid)")
        .bind(database.oid)
        .persistent(false)
        .fetch_one(&mut server.connection)
        .await
        .map_err(|error| PromoteError::database(format!("measure database {name}"), &error))?;
    let comment = mark.comment().unwrap_or_default();
    let mut discarded = Discarded {
        status: "planned",
        target_database: name.clone(),
        mark: comment,
        size_bytes,
        warnings: Vec::new(),
    };
    let Some(mandate) = &order.mandate else { return Ok(discarded) };
    // Not WITH (FORCE): whoever connected meanwhile keeps it.
    run(&mut server.connection, &operation, &format!("DROP DATABASE {}", quote_ident(&name))).await?;
    discarded.status = "discarded";
    let subject = format!("database {name}");
    let id = format!("{}-discard-{}", name, database.oid);
    let entry = Entry {
        action: "discard",
        subject: &subject,
        mandate,
        before: json!({"database": name, "mark": discarded.mark, "size_bytes": size_bytes}),
        after: json!({"promote_id": id}),
    };
    discarded.warnings = match audit_in_production(&server, &entry).await {
        Ok(warning) => warning.into_iter().collect(),
        Err(_) => vec!["it is dropped, but production could not be reached to write that down".to_owned()],
    };
    Ok(discarded)
}
