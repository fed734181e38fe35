//! The definitions: what must be there before the rows, and what is built once they are.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use tokio::task::JoinSet;

use super::super::error::ArchiveError;
use super::super::manifest::{Manifest, StatementEntry};
use super::super::schema::{Phase, SETTINGS};
use super::super::session::{quote_literal, quote_qualified, run};
use crate::db;

/// Sequences that are set by one query.
const SEQUENCES_PER_QUERY: usize = 200;

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, ArchiveError> {
    let mut connection = db::connect(options).await?;
    let settings = format!("{SETTINGS} SET synchronous_commit = off; SET jit = off;");
    run(&mut connection, "prepare the definitions", &settings).await?;
    Ok(connection)
}

fn text<'a>(sql: &'a str, statement: &StatementEntry) -> &'a str {
    sql.get(statement.range()).expect("the ranges were checked before the database was created")
}

async fn execute(
    connection: &mut PgConnection,
    sql: &str,
    statement: &StatementEntry,
) -> Result<(), ArchiveError> {
    run(connection, &describe(statement), text(sql, statement)).await
}

fn describe(statement: &StatementEntry) -> String {
    format!("restore {:?} {}", statement.kind, statement.name)
}

/// Types, tables, functions: in order, one after another.
///
/// # Errors
/// [`ArchiveError::Database`] naming the object.
pub(super) async fn before_data(
    options: &PgConnectOptions,
    manifest: &Manifest,
    sql: &str,
) -> Result<(), ArchiveError> {
    let mut connection = connect(options).await?;
    for statement in manifest.schema.statements.iter().filter(|one| one.phase == Phase::PreData) {
        execute(&mut connection, sql, statement).await?;
    }
    Ok(())
}

/// Puts every sequence where it stood.
///
/// # Errors
/// [`ArchiveError::Database`].
pub(super) async fn set_sequences(
    options: &PgConnectOptions,
    manifest: &Manifest,
) -> Result<(), ArchiveError> {
    let mut connection = connect(options).await?;
    for sequences in manifest.sequences.chunks(SEQUENCES_PER_QUERY) {
        let mut sql = String::new();
        for sequence in sequences {
            let name = quote_literal(&quote_qualified(&sequence.schema, &sequence.name));
            let (last_value, is_called) = (sequence.last_value, sequence.is_called);
            let _ = write!(sql, "SELECT pg_catalog.setval({name}, {last_value}, {is_called});");
        }
        run(&mut connection, "set the sequences", &sql).await?;
    }
    Ok(())
}

/// Indexes and keys on several connections, then constraints, views, triggers and the rest, phase by phase.
///
/// # Errors
/// [`ArchiveError::Database`] naming the object.
pub(super) async fn after_data(
    options: &PgConnectOptions,
    manifest: &Manifest,
    sql: &str,
    connections: usize,
) -> Result<(), ArchiveError> {
    let statements = &manifest.schema.statements;
    let phases: BTreeSet<Phase> = statements
        .iter()
        .map(|statement| statement.phase)
        .filter(|phase| !matches!(phase, Phase::PreData | Phase::Ownership))
        .collect();
    let mut idle = Vec::new();
    for _ in 0..connections.max(1) {
        idle.push(connect(options).await?);
    }
    for phase in phases {
        let of_phase: Vec<usize> =
            (0..statements.len()).filter(|index| statements[*index].phase == phase).collect();
        // An index locks its own table only. What locks two (a foreign key, an attachment) goes one by one,
        // so that no two of them wait for each other.
        let at_a_time = if phase == Phase::Indexes { idle.len() } else { 1 };
        run_phase(&mut idle, at_a_time, statements, of_phase, sql).await?;
    }
    Ok(())
}

/// Runs the statements `waiting` as soon as what they need has ended and their table is free.
async fn run_phase(
    idle: &mut Vec<PgConnection>,
    at_a_time: usize,
    statements: &[StatementEntry],
    mut waiting: Vec<usize>,
    sql: &str,
) -> Result<(), ArchiveError> {
    let mut unfinished: BTreeSet<usize> = waiting.iter().copied().collect();
    let mut busy_tables: Vec<&str> = Vec::new();
    let mut running: JoinSet<(usize, PgConnection, Result<(), ArchiveError>)> = JoinSet::new();
    loop {
        while running.len() < at_a_time {
            let ready = waiting.iter().position(|index| {
                let statement = &statements[*index];
                let table_is_free =
                    statement.table.as_deref().is_none_or(|table| !busy_tables.contains(&table));
                table_is_free && statement.after.iter().all(|other| !unfinished.contains(other))
            });
            let Some(ready) = ready else { break };
            let Some(mut connection) = idle.pop() else { break };
            let index = waiting.remove(ready);
            busy_tables.extend(statements[index].table.as_deref());
            let (operation, text) = (describe(&statements[index]), text(sql, &statements[index]).to_owned());
            running.spawn(async move {
                let done = run(&mut connection, &operation, &text).await;
                (index, connection, done)
            });
        }
        let Some(ended) = running.join_next().await else { break };
        let interrupted = |_| ArchiveError::Interrupted { operation: "restore the definitions".to_owned() };
        let (index, connection, done) = ended.map_err(interrupted)?;
        done?;
        idle.push(connection);
        unfinished.remove(&index);
        busy_tables.retain(|table| Some(*table) != statements[index].table.as_deref());
    }
    match waiting.first() {
        None => Ok(()),
        Some(index) => {
            let operation = format!("{}: it needs what comes after it", describe(&statements[*index]));
            Err(ArchiveError::Interrupted { operation })
        }
    }
}

/// Owners and grants, as far as this server has the roles. Returns what could not be done.
///
/// # Errors
/// `DatabaseUnavailable`.
pub(super) async fn ownership(
    options: &PgConnectOptions,
    manifest: &Manifest,
    sql: &str,
) -> Result<Vec<String>, ArchiveError> {
    let mut connection = connect(options).await?;
    let mut warnings = Vec::new();
    for statement in manifest.schema.statements.iter().filter(|one| one.phase == Phase::Ownership) {
        match execute(&mut connection, sql, statement).await {
            Ok(()) => {}
            Err(ArchiveError::Database { operation, reason }) => {
                warnings.push(format!("{operation}: skipped, {reason}"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(warnings)
}

/// Statistics for the planner.
///
/// # Errors
/// [`ArchiveError::Database`].
pub(super) async fn analyze(options: &PgConnectOptions) -> Result<(), ArchiveError> {
    let mut connection = connect(options).await?;
    run(&mut connection, "analyze the restored database", "ANALYZE").await
}
