//! The definitions: what must be there before the rows, and what is built once they are. Each statement is marked as
//! done in its own transaction.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use tokio::task::JoinSet;

use super::ledger::{Entry, Ledger, Step, mark, mark_as};
use super::subset::Subset;
use crate::archive::error::ArchiveError;
use crate::archive::manifest::{Manifest, StatementEntry};
use crate::archive::schema::{Phase, SETTINGS};
use crate::archive::session::{quote_literal, quote_qualified, run};
use crate::db;

/// Sequences that are set by one query.
const SEQUENCES_PER_QUERY: usize = 200;

/// The definitions of a backup, on their way into a staging database.
pub(super) struct Definitions<'a> {
    /// The database.
    pub(super) options: &'a PgConnectOptions,
    /// The backup.
    pub(super) manifest: &'a Manifest,
    /// Its `schema.sql`.
    pub(super) sql: &'a str,
    /// What is done already.
    pub(super) ledger: &'a Ledger,
    /// The tables that are wanted; none for all.
    pub(super) subset: Option<&'a Subset>,
}

/// A session for definitions.
///
/// # Errors
/// `DatabaseUnavailable`, [`ArchiveError::Database`].
pub(super) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, ArchiveError> {
    let mut connection = db::connect(options).await?;
    let settings = format!("{SETTINGS} SET synchronous_commit = off; SET jit = off;");
    run(&mut connection, "prepare the definitions", &settings).await?;
    Ok(connection)
}

fn describe(statement: &StatementEntry) -> String {
    format!("restore {:?} {}", statement.kind, statement.name)
}

impl Definitions<'_> {
    fn text(&self, statement: &StatementEntry) -> &str {
        self.sql.get(statement.range()).expect("the ranges were checked before the database was created")
    }

    /// A statement with its mark: a simple query of two statements is one transaction.
    fn marked(&self, index: usize) -> String {
        let text = self.text(&self.manifest.schema.statements[index]);
        format!("{text}\n{}", mark(Step::Statement, &index.to_string()))
    }

    /// The positions of a phase's statements that are still to be run.
    fn waiting(&self, phase: Phase) -> Vec<usize> {
        let statements = self.manifest.schema.statements.iter().enumerate();
        statements
            .filter(|(_, statement)| statement.phase == phase)
            .map(|(index, _)| index)
            .filter(|index| !self.ledger.has(Step::Statement, &index.to_string()))
            .collect()
    }

    /// Types, tables, functions: in order, one after another.
    ///
    /// # Errors
    /// [`ArchiveError::Database`] naming the object.
    pub(super) async fn before_data(&self) -> Result<(), ArchiveError> {
        let waiting = self.waiting(Phase::PreData);
        if waiting.is_empty() {
            return Ok(());
        }
        let mut connection = connect(self.options).await?;
        for index in waiting {
            let operation = describe(&self.manifest.schema.statements[index]);
            run(&mut connection, &operation, &self.marked(index)).await?;
        }
        Ok(())
    }

    /// Puts every sequence where it stood.
    ///
    /// # Errors
    /// [`ArchiveError::Database`].
    pub(super) async fn set_sequences(&self) -> Result<(), ArchiveError> {
        if self.ledger.has(Step::Sequences, "") {
            return Ok(());
        }
        let mut connection = connect(self.options).await?;
        for sequences in self.manifest.sequences.chunks(SEQUENCES_PER_QUERY) {
            let mut sql = String::new();
            for sequence in sequences {
                let name = quote_literal(&quote_qualified(&sequence.schema, &sequence.name));
                let (last_value, is_called) = (sequence.last_value, sequence.is_called);
                // Those of tables that are not wanted went with them.
                let _ = match self.subset {
                    None => write!(sql, "SELECT pg_catalog.setval({name}, {last_value}, {is_called});"),
                    Some(_) => write!(
                        sql,
                        "SELECT pg_catalog.setval(s.oid, {last_value}, {is_called})
                        FROM (SELECT pg_catalog.to_regclass({name}) AS oid) AS s WHERE s.oid IS NOT NULL;"
                    ),
                };
            }
            run(&mut connection, "set the sequences", &sql).await?;
        }
        run(&mut connection, "set the sequences", &mark(Step::Sequences, "")).await
    }

    /// Indexes and keys on several connections, then constraints, views, triggers and the rest, phase by phase.
    ///
    /// # Errors
    /// [`ArchiveError::Database`] naming the object.
    pub(super) async fn after_data(&self, connections: usize) -> Result<(), ArchiveError> {
        let phases: BTreeSet<Phase> = self
            .manifest
            .schema
            .statements
            .iter()
            .map(|statement| statement.phase)
            .filter(|phase| !matches!(phase, Phase::PreData | Phase::Ownership))
            .collect();
        let mut idle = Vec::new();
        for phase in phases {
            let waiting = self.waiting(phase);
            if waiting.is_empty() {
                continue;
            }
            while idle.len() < connections.max(1) {
                idle.push(connect(self.options).await?);
            }
            // An index locks its own table only. What locks two (a foreign key, an attachment) goes one by one,
            // so that no two of them wait for each other.
            let at_a_time = if phase == Phase::Indexes { idle.len() } else { 1 };
            self.run_phase(&mut idle, at_a_time, waiting).await?;
        }
        Ok(())
    }

    /// Runs the statements `waiting` as soon as what they need has ended and their table is free.
    async fn run_phase(
        &self,
        idle: &mut Vec<PgConnection>,
        at_a_time: usize,
        mut waiting: Vec<usize>,
    ) -> Result<(), ArchiveError> {
        let statements = &self.manifest.schema.statements;
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
                let (operation, text) = (describe(&statements[index]), self.marked(index));
                let left_out = self.subset.and_then(|subset| subset.leads_out(self.text(&statements[index])));
                running.spawn(async move {
                    let done = match left_out {
                        None => run(&mut connection, &operation, &text).await,
                        Some(why) => leave_out(&mut connection, index, &operation, why).await,
                    };
                    (index, connection, done)
                });
            }
            let Some(ended) = running.join_next().await else { break };
            let interrupted =
                |_| ArchiveError::Interrupted { operation: "restore the definitions".to_owned() };
            let (index, mut connection, done) = ended.map_err(interrupted)?;
            if let Err(error) = done {
                self.absent(&mut connection, index, error).await?;
            }
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

    /// Of a part of the tables, a statement that needs what is not there is left out, and named where it belongs to
    /// a table that is wanted; every other error is one.
    async fn absent(
        &self,
        connection: &mut PgConnection,
        index: usize,
        error: ArchiveError,
    ) -> Result<(), ArchiveError> {
        let Some(subset) = self.subset else { return Err(error) };
        if !is_absence(&error) {
            return Err(error);
        }
        let statement = &self.manifest.schema.statements[index];
        let why =
            subset.is_wanted(statement.table.as_deref()).then(|| "it needs a table that is not here".into());
        leave_out(connection, index, &describe(statement), why.unwrap_or_default()).await
    }

    /// Owners and grants, as far as this server has the roles. Returns what could not be done.
    ///
    /// # Errors
    /// `DatabaseUnavailable`.
    pub(super) async fn ownership(&self) -> Result<Vec<String>, ArchiveError> {
        let mut connection = connect(self.options).await?;
        let mut warnings = Vec::new();
        for index in self.waiting(Phase::Ownership) {
            let operation = describe(&self.manifest.schema.statements[index]);
            match run(&mut connection, &operation, &self.marked(index)).await {
                Ok(()) => {}
                Err(error) if self.subset.is_some() && is_absence(&error) => {}
                Err(ArchiveError::Database { operation, reason }) if !reason.is_lost() => {
                    warnings.push(format!("{operation}: skipped, {reason}"));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(warnings)
    }
}

/// Marks a statement as one that is not run; `why` is empty where nobody misses it.
async fn leave_out(
    connection: &mut PgConnection,
    index: usize,
    operation: &str,
    why: String,
) -> Result<(), ArchiveError> {
    let note = (!why.is_empty()).then(|| format!("{}: {why}", operation.trim_start_matches("restore ")));
    let entry = Entry { note, digest: None };
    run(connection, operation, &mark_as(Step::Statement, &index.to_string(), &entry)).await
}

/// Whether Postgres misses an object that a statement names: table, type, function, column or schema.
fn is_absence(error: &ArchiveError) -> bool {
    let ArchiveError::Database { reason, .. } = error else { return false };
    ["42P01", "42704", "42883", "42703", "3F000"].into_iter().any(|state| reason.is(state))
}
