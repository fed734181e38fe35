//! `undo`: the database that was production takes its name back.

use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::audit::Entry;
use super::checks::{check_rights, check_sessions, refused, sessions_to_end, slots_warning};
use super::counts::count_both;
use super::error::PromoteError;
use super::exchange::{Plan, exchange};
use super::mark::{Exchange, Mark};
use super::server::{Database, Server};
use super::sessions::counted;
use super::swap::{Order, Swapped, audit_in_production, beside, names};

/// Brings production back: the newest database that was kept, or the one that is named.
///
/// # Errors
/// [`PromoteError`]; everything is as it was then.
pub async fn undo(production: &PgConnectOptions, order: &Order) -> Result<Swapped, PromoteError> {
    let name = production.get_database().unwrap_or("postgres").to_owned();
    let operation = format!("undo the promote of database {name}");
    let mut server = Server::lock(production, &operation).await?;
    let databases = server.databases().await?;
    let current = databases.iter().find(|database| database.name == name);
    let Some((kept, done)) = kept(&databases, &name, order.database.as_deref()) else {
        return already_undone(&mut server, &databases, &operation, &name, order).await;
    };
    let at = OffsetDateTime::now_utc();
    let copy_name = match names(&databases).contains_key(done.copy.as_str()) {
        false => done.copy.clone(),
        true => beside(&name, "undone", at),
    };
    check_rights(&mut server, &operation, current, kept).await?;
    let sessions = sessions_to_end(&mut server, current, kept).await?;
    let tables = count_both(&server.options_of(&name), &server.options_of(&kept.name)).await;
    let mut swapped = Swapped {
        promote_id: done.promote_id.clone(),
        status: "planned",
        database: name.clone(),
        target_database: kept.name.clone(),
        kept_database: current.map(|_| copy_name.clone()),
        sessions: counted(&sessions),
        carried_over: Vec::new(),
        tables,
        locked_out_seconds: None,
        warnings: current.and_then(slots_warning).into_iter().collect(),
    };
    if order.mandate.is_none() {
        return Ok(swapped);
    }
    check_sessions(&operation, &name, sessions)?;
    let undone =
        Exchange { copy: copy_name.clone(), at: at.format(&Rfc3339).unwrap_or_default(), ..done.clone() };
    let plan = Plan {
        operation: &operation,
        current: current.map(|current| (current, copy_name.as_str(), Mark::Undone(undone.clone()))),
        name: &name,
        next: kept,
        next_becomes: Mark::Foreign(done.comment.clone()),
    };
    let locked_out = exchange(&mut server, &plan).await?;
    swapped.locked_out_seconds = Some(locked_out.as_secs_f64());
    swapped.status = "undone";
    swapped.warnings.extend(write_down(&server, &undone, order, &swapped).await);
    Ok(swapped)
}

/// What was kept of this production: the newest, or the one of that name.
fn kept<'a>(
    databases: &'a [Database],
    production: &str,
    wanted: Option<&str>,
) -> Option<(&'a Database, Exchange)> {
    let of = |database: &'a Database| match database.mark() {
        Mark::Kept(exchange) if exchange.production == production => Some((database, exchange)),
        _ => None,
    };
    databases
        .iter()
        .filter(|database| wanted.is_none_or(|wanted| database.name == wanted))
        .filter_map(of)
        .max_by(|one, other| one.1.at.cmp(&other.1.at))
}

/// Nothing is kept: an earlier run may have been ended after it brought it back.
async fn already_undone(
    server: &mut Server,
    databases: &[Database],
    operation: &str,
    production: &str,
    order: &Order,
) -> Result<Swapped, PromoteError> {
    let of = |database: &Database| match database.mark() {
        Mark::Undone(exchange)
            if exchange.production == production
                && order.database.as_ref().is_none_or(|wanted| exchange.kept.as_ref() == Some(wanted)) =>
        {
            Some((database.name.clone(), exchange))
        }
        _ => None,
    };
    let newest = databases.iter().filter_map(of).max_by(|one, other| one.1.at.cmp(&other.1.at));
    let Some((copy, undone)) = newest else {
        return Err(refused(
            operation,
            "no database of this server is kept as what it was before a promote; where it was discarded, restore a backup",
        ));
    };
    let mut swapped = Swapped {
        promote_id: undone.promote_id.clone(),
        status: "already undone",
        database: production.to_owned(),
        target_database: undone.kept.clone().unwrap_or_default(),
        kept_database: Some(copy),
        sessions: Vec::new(),
        carried_over: Vec::new(),
        tables: None,
        locked_out_seconds: None,
        warnings: Vec::new(),
    };
    swapped.warnings = write_down(server, &undone, order, &swapped).await;
    Ok(swapped)
}

async fn write_down(server: &Server, undone: &Exchange, order: &Order, swapped: &Swapped) -> Vec<String> {
    let Some(mandate) = &order.mandate else { return Vec::new() };
    let subject = format!("database {}", undone.production);
    let entry = Entry {
        action: "undo promote swap",
        subject: &subject,
        mandate,
        before: json!({"database": undone.production, "target_database": undone.kept, "tables": swapped.tables}),
        after: json!({
            "promote_id": undone.promote_id,
            "database": undone.production,
            "kept_database": swapped.kept_database,
            "locked_out_seconds": swapped.locked_out_seconds,
        }),
    };
    match audit_in_production(server, &entry).await {
        Ok(warning) => warning.into_iter().collect(),
        Err(unwritten) => vec![unwritten],
    }
}
