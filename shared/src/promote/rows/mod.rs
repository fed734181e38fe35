//! Rows of a copy into production: `merge_missing` puts in what production lacks, `overwrite` makes production's rows equal
//! to the copy's.
//!
//! All of it is one transaction of production. The copy's rows in the ranges that differ are brought over into tables of that
//! transaction, written from there, looked at again, and only then committed. A dry run does the same and takes it back:
//! what it says would happen is what did. Foreign keys hold throughout: tables are written in the order that they need,
//! and what needs each other is written by one statement.

mod choose;
mod order;
mod proof;
mod scope;
mod sequences;
mod transfer;
mod triggers;
mod work;
mod writing;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use serde_json::json;
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use time::OffsetDateTime;

pub use self::choose::LeftOut;
use self::choose::{Choice, choose};
pub use self::proof::Conflict;
pub use self::scope::Key;
pub use self::sequences::Moved;
use self::sequences::move_on;
pub use self::triggers::Triggers;
use self::triggers::{firing, read_triggers, switch_on};
use self::work::Work;
use self::writing::{prove, write_all};
use super::PromoteError;
use super::audit::{Entry, record};
use super::checks::refused;
use super::mark::Mark;
use super::server::{Server, database_elsewhere};
use crate::archive::ArchiveError;
use crate::archive::names::key_timestamp;
use crate::archive::selection::TableName;
use crate::archive::session::{begin_writing, open_reading, run};
use crate::audit::Mandate;
use crate::comparison::tables::Table;
use crate::db;

/// What is kept back of the invocation's time for its reply.
const REPLY_TIME: Duration = Duration::from_secs(5);

/// What is done with the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    MergeMissing,
    Overwrite,
}

/// Which rows.
#[derive(Debug, Clone)]
pub enum Which {
    /// Those of every table.
    All,
    /// Those of these tables.
    Tables(BTreeSet<TableName>),
    /// Those with these keys.
    Keys(BTreeMap<TableName, Vec<Key>>),
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct RowsOrder {
    /// The copy.
    pub copy: String,
    /// The server that it is on, where that is not production's.
    pub elsewhere: Option<PgConnectOptions>,
    /// Which rows.
    pub which: Which,
    /// What happens with production's own triggers.
    pub triggers: Triggers,
    /// The name of a copy that is to be taken although recoup would not.
    pub force: Option<String>,
    /// Who and why; none where nothing is to be changed.
    pub mandate: Option<Mandate>,
}

/// What was done, or would be.
#[derive(Debug, Clone, Serialize)]
pub struct Merged {
    /// Names it.
    pub promote_id: String,
    /// `planned`, `conflicts` (a plan that would be refused), or `promoted`.
    pub status: &'static str,
    /// Production.
    pub database: String,
    /// The copy.
    pub target_database: String,
    /// The tables with rows that changed, or would.
    pub tables: Vec<MergedTable>,
    /// Tables that nothing could be done with.
    pub left_out: Vec<LeftOut>,
    /// Rows that a unique constraint of production keeps out.
    pub conflicts: Vec<Conflict>,
    /// Sequences that were moved on.
    pub sequences: Vec<Moved>,
    /// Triggers of production that fired on these rows.
    pub triggers_fired: Vec<String>,
    /// How long it took.
    pub elapsed_seconds: f64,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MergedTable {
    /// As SQL writes it.
    pub table: String,
    /// Rows in production before.
    pub production_rows_before: u64,
    /// Rows in production after.
    pub production_rows_after: u64,
    /// Rows in the copy.
    pub copy_rows: u64,
    /// Rows that were put in.
    pub inserted: i64,
    /// Rows that were changed.
    pub updated: i64,
    /// Rows that were deleted.
    pub deleted: i64,
}

/// Puts in the rows that production lacks, by key. Rows that are there stay as they are.
///
/// # Errors
/// [`PromoteError`]; nothing was changed then.
pub async fn merge_missing(
    production: &PgConnectOptions,
    order: &RowsOrder,
    deadline: SystemTime,
) -> Result<Merged, PromoteError> {
    promote_rows(Way::MergeMissing, production, order, deadline).await
}

/// Makes rows of production equal to the copy's: puts in, changes, deletes.
///
/// # Errors
/// [`PromoteError`]; nothing was changed then.
pub async fn overwrite(
    production: &PgConnectOptions,
    order: &RowsOrder,
    deadline: SystemTime,
) -> Result<Merged, PromoteError> {
    promote_rows(Way::Overwrite, production, order, deadline).await
}

async fn promote_rows(
    way: Way,
    production: &PgConnectOptions,
    order: &RowsOrder,
    deadline: SystemTime,
) -> Result<Merged, PromoteError> {
    let operation = match way {
        Way::MergeMissing => format!("merge database {} into production", order.copy),
        Way::Overwrite => format!("overwrite rows of production from database {}", order.copy),
    };
    let mut server = Server::lock(production, &operation).await?;
    let may_delete = check_fit(way, &mut server, &operation, order).await?;
    let left = deadline.duration_since(SystemTime::now()).unwrap_or_default().saturating_sub(REPLY_TIME);
    let work = Box::pin(in_one_transaction(way, may_delete, &server, &operation, order, left));
    match tokio::time::timeout(left, work).await {
        Ok(done) => done,
        Err(_) => Err(ArchiveError::TimeLimit { operation: "promote rows of the copy" }.into()),
    }
}

/// Only rows that were proven go into production, and only a copy that has all rows says which are to be deleted: gives
/// whether this one may.
async fn check_fit(
    way: Way,
    server: &mut Server,
    operation: &str,
    order: &RowsOrder,
) -> Result<bool, PromoteError> {
    if order.elsewhere.is_none() && order.copy == server.production_name() {
        return Err(refused(operation, "it is production itself; name the copy"));
    }
    let mark = match &order.elsewhere {
        None => server.database(&order.copy).await?.mark(),
        Some(elsewhere) => database_elsewhere(elsewhere, &order.copy, operation).await?.mark(),
    };
    let deletes = way == Way::Overwrite && !matches!(order.which, Which::Keys(_));
    let is_forced = order.force.as_deref() == Some(&order.copy);
    let may_delete = is_forced || mark.is_whole_copy();
    if may_delete || (!deletes && mark.is_proven_copy()) {
        return Ok(may_delete);
    }
    let state = match mark {
        Mark::Staging(state) => format!("its mark says {state:?}"),
        _ => "it has no mark of a restore that proved it".to_owned(),
    };
    let needed = if deletes { "equal to a whole backup" } else { "equal to a backup" };
    Err(refused(
        operation,
        format!(
            "{state}, and only a copy that was proven {needed} is taken; restore one, or force it by its name: \"force\":\"{}\"",
            order.copy
        ),
    ))
}

async fn in_one_transaction(
    way: Way,
    may_delete: bool,
    server: &Server,
    operation: &str,
    order: &RowsOrder,
    left: Duration,
) -> Result<Merged, PromoteError> {
    let began = Instant::now();
    let at = OffsetDateTime::now_utc();
    let of_copy = order.elsewhere.as_ref().unwrap_or(&server.production).clone().database(&order.copy);
    let mut copy = open_reading(&of_copy, None).await?;
    let mut production = db::connect(&server.production).await?;
    begin_writing(&mut production).await?;
    let limits =
        format!("SET LOCAL lock_timeout = '10s'; SET LOCAL statement_timeout = {}", left.as_millis().max(1));
    run(&mut production, operation, &limits).await?;
    if let (Way::Overwrite, Some(_), Which::Tables(names)) = (way, &order.mandate, &order.which) {
        lock_tables(&mut production, operation, names).await?;
    }
    let Choice { chosen, left_out } = choose(way, &order.which, &mut production, &mut copy).await?;
    let mut works = Vec::new();
    for (number, chosen) in chosen.into_iter().enumerate() {
        works.push(Work::bring(way, number, chosen, &mut production, &mut copy).await?);
    }
    if let Some(work) = works.iter().find(|work| work.doomed_rows > 0 && !may_delete) {
        let reason = format!(
            "{} rows of {} that the copy has not would be deleted, and it was not proven equal to a whole backup: leave their keys out, or force it by its name: \"force\":\"{}\"",
            work.doomed_rows,
            work.table().table_name(),
            order.copy
        );
        return Err(refused(operation, reason));
    }
    let oids: Vec<i64> = works.iter().map(|work| work.table().oid).collect();
    let triggers = read_triggers(&mut production, &oids).await?;
    write_all(way, &mut production, operation, order.triggers, &triggers, &mut works).await?;
    let mut merged = Merged {
        promote_id: format!("{}-promote-{:08x}", key_timestamp(at), rand::random::<u32>()),
        status: "planned",
        database: server.production_name().to_owned(),
        target_database: order.copy.clone(),
        tables: works.iter().filter_map(merged_table).collect(),
        left_out,
        conflicts: Vec::new(),
        sequences: Vec::new(),
        triggers_fired: if order.triggers == Triggers::Fire { firing(&triggers) } else { Vec::new() },
        elapsed_seconds: 0.0,
    };
    merged.conflicts = prove(way, &mut production, operation, &works, &merged.triggers_fired).await?;
    let dry_run = order.mandate.is_none();
    if !merged.conflicts.is_empty() && !dry_run {
        let conflicts = json!(merged.conflicts);
        return Err(PromoteError::Conflict { operation: operation.to_owned(), conflicts });
    }
    if order.triggers == Triggers::Off {
        switch_on(&mut production, &triggers).await?;
    }
    let written: Vec<&Table> =
        works.iter().filter(|work| work.inserted + work.updated > 0).map(Work::table).collect();
    merged.sequences = move_on(&mut production, &mut copy, &written, dry_run).await?;
    if !merged.conflicts.is_empty() {
        merged.status = "conflicts";
    }
    match &order.mandate {
        None => run(&mut production, operation, "ROLLBACK").await?,
        Some(mandate) => {
            if !merged.tables.is_empty() {
                audit(way, &mut production, mandate, &merged, order.elsewhere.as_ref()).await?;
            }
            run(&mut production, operation, "COMMIT").await?;
            merged.status = "promoted";
        }
    }
    merged.elapsed_seconds = began.elapsed().as_secs_f64();
    Ok(merged)
}

/// Nobody else writes to what is overwritten until that is done; readers go on.
async fn lock_tables(
    production: &mut PgConnection,
    operation: &str,
    names: &BTreeSet<TableName>,
) -> Result<(), PromoteError> {
    let tables = crate::comparison::tables::read_tables(production).await?;
    let known: Vec<String> = names.iter().filter_map(|name| tables.get(name)).map(Table::only).collect();
    if known.is_empty() {
        return Ok(());
    }
    let sql = format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", known.join(", "));
    Ok(run(production, operation, &sql).await?)
}

fn merged_table(work: &Work) -> Option<MergedTable> {
    let Work { chosen, inserted, updated, deleted, .. } = work;
    let added = inserted.saturating_sub(*deleted);
    (inserted + updated + deleted > 0).then(|| MergedTable {
        table: chosen.pair.copy.table_name().to_string(),
        production_rows_before: chosen.production_rows,
        production_rows_after: chosen.production_rows.saturating_add_signed(added),
        copy_rows: chosen.copy_rows,
        inserted: *inserted,
        updated: *updated,
        deleted: *deleted,
    })
}

async fn audit(
    way: Way,
    production: &mut PgConnection,
    mandate: &Mandate,
    merged: &Merged,
    elsewhere: Option<&PgConnectOptions>,
) -> Result<(), PromoteError> {
    let target_server = elsewhere.map(|server| format!("{}:{}", server.get_host(), server.get_port()));
    let before: BTreeMap<&str, u64> =
        merged.tables.iter().map(|table| (table.table.as_str(), table.production_rows_before)).collect();
    let entry = Entry {
        action: match way {
            Way::MergeMissing => "promote merge_missing",
            Way::Overwrite => "promote overwrite",
        },
        subject: &format!("database {}", merged.database),
        mandate,
        before: json!({
            "target_database": merged.target_database, "target_server": target_server, "rows": before,
        }),
        after: json!({
            "promote_id": merged.promote_id,
            "tables": merged.tables,
            "sequences": merged.sequences,
        }),
    };
    // A database without our tables has no log; the reply says what was done.
    record(production, &entry).await?;
    Ok(())
}
