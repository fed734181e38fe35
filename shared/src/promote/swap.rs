//! `swap`: the copy takes production's name, and production is kept under another one.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::audit::{Entry, record};
use super::carried;
use super::checks::{
    check_fit, check_rights, check_sessions, migrations_warning, refused, sessions_to_end, slots_warning,
};
use super::counts::{TableCount, count_both};
use super::error::PromoteError;
use super::exchange::{Plan, comment_on, exchange};
use super::mark::{Exchange, Mark};
use super::server::{Database, Server};
use super::sessions::{SessionCount, counted};
use crate::archive::names::key_timestamp;
use crate::archive::restore::check_name;
use crate::archive::session::run;
use crate::audit::Mandate;
use crate::db;

/// Postgres cuts names to this length.
const NAME_BYTES_MAX: usize = 63;

/// Tries to reach production after its name has changed hands: everybody else comes back at the same time.
const TRIES: u32 = 5;

/// What is asked of a swap or its undoing.
#[derive(Debug, Clone)]
pub struct Order {
    /// The copy to promote, or the kept database to bring back.
    pub database: Option<String>,
    /// The name of a database that is to be taken although recoup would not.
    pub force: Option<String>,
    /// Who and why; none only where nothing is to be changed.
    pub mandate: Option<Mandate>,
}

/// What was done, or would be.
#[derive(Debug, Clone, Serialize)]
pub struct Swapped {
    /// Names it.
    pub promote_id: String,
    /// `planned`, `promoted`, `already promoted`, `undone` or `already undone`.
    pub status: &'static str,
    /// The name that changes hands.
    pub database: String,
    /// The copy.
    pub target_database: String,
    /// What production is called from now on; none where there was none.
    pub kept_database: Option<String>,
    /// Sessions that end, or ended.
    pub sessions: Vec<SessionCount>,
    /// What the copy gets of production besides its name: statements.
    pub carried_over: Vec<String>,
    /// Rows before and after; none where counting took too long.
    pub tables: Option<Vec<TableCount>>,
    /// How long nobody could use the database.
    pub locked_out_seconds: Option<f64>,
    /// What is not as it was, or has to be done yet.
    pub warnings: Vec<String>,
}

/// Puts the copy in production's place.
///
/// # Errors
/// [`PromoteError`]; everything is as it was then.
pub async fn swap(production: &PgConnectOptions, order: &Order) -> Result<Swapped, PromoteError> {
    let copy_name = order.database.clone().unwrap_or_default();
    let operation = format!("promote database {copy_name}");
    let mut server = Server::lock(production, &operation).await?;
    let name = server.production_name().to_owned();
    if copy_name == name {
        return Err(refused(&operation, "it is production itself; name the copy"));
    }
    let databases = server.databases().await?;
    let find = |name: &str| databases.iter().find(|database| database.name == name);
    let current = find(&name).cloned();
    if find(&copy_name).is_none()
        && let Some((exchange, mark)) = already(current.as_ref(), &databases, &name, &copy_name)
    {
        return finish_promoted(&mut server, order, exchange, &mark).await;
    }
    let copy = server.database(&copy_name).await?;
    check_fit(&operation, &copy, order.force.as_deref())?;
    let mut warnings = Vec::new();
    check_rights(&mut server, &operation, current.as_ref(), &copy).await?;
    if let Some(current) = &current {
        warnings.extend(slots_warning(current));
    }
    warnings.extend(migrations_warning(&server, &name, &copy_name).await);

    let sessions = sessions_to_end(&mut server, current.as_ref(), &copy).await?;
    let carried_over = match &current {
        Some(current) => carried::statements(&mut server.connection, current, &copy).await?,
        None => Vec::new(),
    };
    let tables = count_both(&server.options_of(&name), &server.options_of(&copy_name)).await;
    let at = OffsetDateTime::now_utc();
    let exchange_of_names = Exchange {
        promote_id: format!("{}-promote-{:08x}", key_timestamp(at), rand::random::<u32>()),
        production: name.clone(),
        copy: copy_name.clone(),
        kept: current.as_ref().map(|current| beside(&current.name, "before", at)),
        at: at.format(&Rfc3339).unwrap_or_default(),
        actor: order.mandate.as_ref().map(|mandate| mandate.actor.clone()).unwrap_or_default(),
        comment: current.as_ref().and_then(own_comment),
    };
    let mut swapped = Swapped {
        promote_id: exchange_of_names.promote_id.clone(),
        status: "planned",
        database: name.clone(),
        target_database: copy_name.clone(),
        kept_database: exchange_of_names.kept.clone(),
        sessions: counted(&sessions),
        carried_over,
        tables,
        locked_out_seconds: None,
        warnings,
    };
    let Some(mandate) = &order.mandate else { return Ok(swapped) };
    check_sessions(&operation, &name, sessions)?;
    swapped.warnings.extend(carried::carry(&mut server.connection, &swapped.carried_over).await?);
    let kept = exchange_of_names.kept.as_deref();
    let plan = Plan {
        operation: &operation,
        current: current
            .as_ref()
            .zip(kept)
            .map(|(current, kept)| (current, kept, Mark::Kept(exchange_of_names.clone()))),
        name: &name,
        next: &copy,
        next_becomes: Mark::Promoted(exchange_of_names.clone()),
    };
    let locked_out = exchange(&mut server, &plan).await?;
    swapped.locked_out_seconds = Some(locked_out.as_secs_f64());
    swapped.status = "promoted";
    swapped.warnings.extend(write_down(&mut server, &exchange_of_names, mandate, &swapped).await);
    Ok(swapped)
}

/// The exchange that has given production's name to this copy, with the mark that tells it.
fn already(
    current: Option<&Database>,
    databases: &[Database],
    name: &str,
    copy: &str,
) -> Option<(Exchange, Mark)> {
    let of = |database: &Database| match database.mark() {
        Mark::Promoted(exchange) | Mark::Kept(exchange)
            if exchange.production == name && exchange.copy == copy =>
        {
            Some((exchange, database.mark()))
        }
        _ => None,
    };
    current.and_then(of).or_else(|| databases.iter().find_map(of))
}

/// An earlier run was ended after the exchange: what it did not write down is written down.
async fn finish_promoted(
    server: &mut Server,
    order: &Order,
    exchange: Exchange,
    mark: &Mark,
) -> Result<Swapped, PromoteError> {
    let mut swapped = Swapped {
        promote_id: exchange.promote_id.clone(),
        status: "already promoted",
        database: exchange.production.clone(),
        target_database: exchange.copy.clone(),
        kept_database: exchange.kept.clone(),
        sessions: Vec::new(),
        carried_over: Vec::new(),
        tables: None,
        locked_out_seconds: None,
        warnings: Vec::new(),
    };
    if let (Some(mandate), Mark::Promoted(_)) = (&order.mandate, mark) {
        swapped.warnings = write_down(server, &exchange, mandate, &swapped).await;
    }
    Ok(swapped)
}

/// Writes the promote into the new production's log, and then gives it its comment. What fails is a warning: the promote
/// itself is done.
async fn write_down(
    server: &mut Server,
    exchange: &Exchange,
    mandate: &Mandate,
    swapped: &Swapped,
) -> Vec<String> {
    let subject = format!("database {}", exchange.production);
    let entry = Entry {
        action: "promote swap",
        subject: &subject,
        mandate,
        before: json!({"database": exchange.production, "target_database": exchange.copy, "tables": swapped.tables}),
        after: json!({
            "promote_id": exchange.promote_id,
            "database": exchange.production,
            "kept_database": exchange.kept,
            "locked_out_seconds": swapped.locked_out_seconds,
        }),
    };
    match audit_in_production(server, &entry).await {
        Err(unwritten) => vec![unwritten],
        Ok(warning) => {
            let comment = comment_on(&exchange.production, exchange.comment.as_deref());
            let given = run(&mut server.connection, "give the database its comment", &comment).await;
            warning.into_iter().chain(given.err().map(|error| error.to_string())).collect()
        }
    }
}

/// Writes a row into production's log, where it has one.
///
/// # Errors
/// A warning: it is done all the same.
pub(super) async fn audit_in_production(
    server: &Server,
    entry: &Entry<'_>,
) -> Result<Option<String>, String> {
    let again = "it is done, but not written down in recoup.audit_log; run the same request again for that";
    let mut pause = Duration::from_millis(100);
    let mut last = String::new();
    for _ in 0..TRIES {
        let written = async {
            let mut connection = db::connect(&server.production).await?;
            record(&mut connection, entry).await
        };
        match written.await {
            Ok(true) => return Ok(None),
            Ok(false) => {
                return Ok(Some("production has no recoup.audit_log: nothing was written down".to_owned()));
            }
            Err(error) => last = error.to_string(),
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    Err(format!("{again}: {last}"))
}

/// A name for what is put aside: the old one, why, when.
pub(super) fn beside(name: &str, why: &str, at: OffsetDateTime) -> String {
    let suffix = format!("_{why}_{}", key_timestamp(at).trim_end_matches('Z').to_ascii_lowercase());
    let mut end = name.len().min(NAME_BYTES_MAX - suffix.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    let beside = format!("{}{suffix}", &name[..end]);
    debug_assert!(check_name(&beside).is_ok());
    beside
}

/// The comment that production has of its own.
fn own_comment(current: &Database) -> Option<String> {
    match current.mark() {
        Mark::Foreign(comment) => comment,
        Mark::Promoted(exchange) | Mark::Kept(exchange) | Mark::Undone(exchange) => exchange.comment,
        Mark::Staging(_) => None,
    }
}

/// Names of databases, to see which are taken.
pub(super) fn names(databases: &[Database]) -> BTreeMap<&str, &Database> {
    databases.iter().map(|database| (database.name.as_str(), database)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_aside_keeps_a_name_that_postgres_does_not_cut() {
        let at = OffsetDateTime::from_unix_timestamp(1_795_984_265).expect("a time");
        assert_eq!(beside("shop", "before", at), "shop_before_20261129t203105");
        let long = beside(&"ü".repeat(31), "before", at);
        assert!(long.len() <= NAME_BYTES_MAX && long.ends_with("ü_before_20261129t203105"), "{long}");
    }
}
