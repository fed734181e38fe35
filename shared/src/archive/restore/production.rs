//! How production differs from the copy. It is read, and only read; where it cannot be, that is the answer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use sqlx::postgres::PgConnectOptions;

use super::super::digest::{RowSum, TableDigest};
use super::super::error::ArchiveError;
use super::super::manifest::{Manifest, TableEntry};
use super::super::schema::SchemaSelection;
use super::compare::{RestoredTable, digest_tables};
use super::order::Order;

/// What is kept back of the invocation's time for its reply.
const REPLY_TIME: Duration = Duration::from_secs(5);

/// Production against the copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// `equal`, `different`, `production unreachable`, or `not compared`.
    pub result: &'static str,
    /// Why production could not be read, or is not compared.
    pub reason: Option<String>,
    /// Every table of either.
    pub tables: Vec<TableDifference>,
}

/// One table of either.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableDifference {
    /// `schema.table`.
    pub table: String,
    /// `equal`, `different`, `missing in production`, or `missing in copy`.
    pub result: &'static str,
    /// Rows in production.
    pub production_rows: Option<u64>,
    /// Rows in the copy.
    pub copy_rows: Option<u64>,
    /// Digest in production.
    pub production_digest: Option<RowSum>,
    /// Digest in the copy.
    pub copy_digest: Option<RowSum>,
}

/// The copy that is compared.
pub struct DatabaseCopy<'a> {
    /// How to connect to it.
    pub options: &'a PgConnectOptions,
    /// Its tables as they were proven.
    pub tables: &'a [RestoredTable],
    /// Those that were written after the proof, by schema and name: they are read again.
    pub rewritten: &'a BTreeSet<(String, String)>,
}

impl DatabaseCopy<'_> {
    async fn digests(&self, connections: usize) -> Result<BTreeMap<String, TableDigest>, ArchiveError> {
        let proven = |table: &RestoredTable| TableDigest { rows: table.rows, sum: table.digest };
        let mut digests: BTreeMap<String, TableDigest> =
            self.tables.iter().map(|table| (table.table.clone(), proven(table))).collect();
        if !self.rewritten.is_empty() {
            let wanted =
                |schema: &str, name: &str| self.rewritten.contains(&(schema.to_owned(), name.to_owned()));
            for ((schema, name), digest) in
                digest_tables(self.options, &SchemaSelection::All, wanted, connections).await?
            {
                // What the copy has for its definition alone is not compared.
                digests.entry(format!("{schema}.{name}")).and_modify(|proven| *proven = digest);
            }
        }
        Ok(digests)
    }
}

/// Reads production's counts and digests and compares them with those of the copy's tables. Of a backup of some tables, or a
/// restore of some, only these are compared.
pub async fn compare_production(
    production: &PgConnectOptions,
    manifest: &Manifest,
    order: &Order,
    copy: &DatabaseCopy<'_>,
    connections: usize,
    deadline: SystemTime,
) -> Difference {
    let without_tables =
        |result, reason: String| Difference { result, reason: Some(reason), tables: Vec::new() };
    if manifest.partial {
        let reason = "the copy holds the rows of a window and what these refer to, and production holds more";
        return without_tables("not compared", reason.to_owned());
    }
    if order.masking.is_some() {
        return without_tables("not compared", "personal data in the copy is masked".to_owned());
    }
    let unreachable = |reason| without_tables("production unreachable", reason);
    let time_left = deadline.duration_since(SystemTime::now()).unwrap_or_default().saturating_sub(REPLY_TIME);
    let limit = tokio::time::Instant::now() + time_left;
    let digests = match tokio::time::timeout_at(limit, Box::pin(copy.digests(connections))).await {
        Ok(Ok(digests)) => digests,
        Ok(Err(error)) => return without_tables("not compared", error.to_string()),
        Err(_) => {
            let error = ArchiveError::TimeLimit { operation: "read the copy to compare it" };
            return without_tables("not compared", error.to_string());
        }
    };
    let of_copy: Vec<(&TableEntry, TableDigest)> = manifest
        .tables
        .iter()
        .filter_map(|table| Some((table, *digests.get(table.qualified_name().as_str())?)))
        .collect();
    let own: BTreeSet<(&str, &str)> =
        of_copy.iter().map(|(table, _)| (table.schema.as_str(), table.name.as_str())).collect();
    let is_everything = manifest.is_everything() && order.tables.is_none();
    let wanted = |schema: &str, name: &str| is_everything || own.contains(&(schema, name));
    let reading = digest_tables(production, &SchemaSelection::All, wanted, connections);
    let mut found = match tokio::time::timeout_at(limit, Box::pin(reading)).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return unreachable(error.to_string()),
        Err(_) => {
            let error = ArchiveError::TimeLimit { operation: "read production to compare it" };
            return unreachable(error.to_string());
        }
    };
    let mut tables = Vec::new();
    for (expected, digest) in of_copy {
        let there = found.remove(&(expected.schema.clone(), expected.name.clone()));
        let result = match there {
            None => "missing in production",
            Some(there) if there == digest => "equal",
            Some(_) => "different",
        };
        tables.push(TableDifference {
            table: expected.qualified_name(),
            result,
            production_rows: there.map(|digest| digest.rows),
            copy_rows: Some(digest.rows),
            production_digest: there.map(|digest| digest.sum),
            copy_digest: Some(digest.sum),
        });
    }
    let was_asked_for = |schema: &String| manifest.schemas.is_empty() || manifest.schemas.contains(schema);
    for ((schema, name), digest) in found.into_iter().filter(|((schema, _), _)| was_asked_for(schema)) {
        tables.push(TableDifference {
            table: format!("{schema}.{name}"),
            result: "missing in copy",
            production_rows: Some(digest.rows),
            copy_rows: None,
            production_digest: Some(digest.sum),
            copy_digest: None,
        });
    }
    let equal = tables.iter().all(|table| table.result == "equal");
    Difference { result: if equal { "equal" } else { "different" }, reason: None, tables }
}
