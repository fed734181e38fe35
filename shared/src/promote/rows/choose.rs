//! Which tables are dealt with, and why others are not.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sqlx::PgConnection;

use super::scope::{Key, Scope};
use super::{Way, Which};
use crate::archive::selection::TableName;
use crate::comparison::ranges::{digest_ranges, rows_of, unequal};
use crate::comparison::tables::{Pair, read_tables};
use crate::promote::PromoteError;

/// Tables of ours that say something about this very database: another one's rows in them would be untrue.
const OF_THIS_DATABASE: [(&str, &str); 4] = [
    ("_sqlx_migrations", "it says which migrations this database has had"),
    ("change_segments", "it says which changes of this database were exported"),
    ("captured_tables", "it says which tables of this database record their changes"),
    ("row_changes", "it has the changes of this database"),
];

fn is_of_this_database(name: &str) -> bool {
    OF_THIS_DATABASE.iter().any(|(own, _)| *own == name)
}

/// And those whose rows are never replaced.
const NEVER_OVERWRITTEN: [(&str, &str); 1] =
    [("audit_log", "it says what was done, and nobody changes that")];

/// A table that nothing is done with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// As SQL writes it.
    pub table: String,
    /// Why.
    pub reason: String,
}

/// A table that something is done with.
#[derive(Debug)]
pub struct Chosen {
    /// Both sides of it.
    pub pair: Pair,
    /// Which of its rows.
    pub scope: Scope,
    /// Rows in production.
    pub production_rows: u64,
    /// Rows in the copy.
    pub copy_rows: u64,
}

/// The tables to deal with, those to leave out, and how many of those that were looked at are as they are to be.
#[derive(Debug, Default)]
pub struct Choice {
    /// The tables to deal with.
    pub chosen: Vec<Chosen>,
    /// The tables that nothing can be done with.
    pub left_out: Vec<LeftOut>,
}

/// Finds the tables, and the ranges of each that are not as they are to be.
///
/// # Errors
/// [`PromoteError::InvalidRequest`] where a table was named that nothing can be done with; [`PromoteError::Archive`].
pub async fn choose(
    way: Way,
    which: &Which,
    production: &mut PgConnection,
    copy: &mut PgConnection,
) -> Result<Choice, PromoteError> {
    let in_production = read_tables(production).await?;
    let mut in_copy = read_tables(copy).await?;
    let names: BTreeSet<TableName> = match which {
        Which::All => {
            let all = in_production.keys().chain(in_copy.keys());
            all.filter(|name| !(name.schema == "recoup" && is_of_this_database(&name.name)))
                .cloned()
                .collect()
        }
        Which::Tables(names) => names.clone(),
        Which::Keys(keys) => keys.keys().cloned().collect(),
    };
    let mut choice = Choice::default();
    for name in names {
        let pair = match (in_production.get(&name), in_copy.remove(&name)) {
            (Some(production), Some(copy)) => Ok(Pair::new(production.clone(), copy)),
            (None, Some(_)) => Err("production has no such table; apply the migrations, or swap".to_owned()),
            (Some(_), None) => Err("the copy has no such table".to_owned()),
            (None, None) => {
                Err("neither database has it as a table of its own; name it as SQL does, and a partitioned table instead of its partitions".to_owned())
            }
        };
        let found = match pair.and_then(|pair| fit(way, pair)) {
            Ok(pair) => {
                let keys = match which {
                    Which::Keys(keys) => keys.get(&name).map(Vec::as_slice),
                    _ => None,
                };
                look(way, pair, keys, production, copy).await?
            }
            Err(reason) => Err(reason),
        };
        match (found, which) {
            (Ok(Some(chosen)), _) => choice.chosen.push(chosen),
            (Ok(None), _) => {}
            (Err(reason), Which::All) => choice.left_out.push(LeftOut { table: name.to_string(), reason }),
            (Err(reason), _) => {
                return Err(PromoteError::InvalidRequest(format!("promote rows of table {name}: {reason}")));
            }
        }
    }
    Ok(choice)
}

/// Whether rows of this table can be put in at all.
fn fit(way: Way, pair: Pair) -> Result<Pair, String> {
    let table = &pair.production;
    let own: BTreeMap<&str, &str> = match way {
        Way::MergeMissing => OF_THIS_DATABASE.into(),
        Way::Overwrite => OF_THIS_DATABASE.into_iter().chain(NEVER_OVERWRITTEN).collect(),
    };
    if let ("recoup", Some(reason)) = (table.schema.as_str(), own.get(table.name.as_str())) {
        return Err((*reason).to_owned());
    }
    let lost = pair.columns_only_in_copy();
    if !lost.is_empty() {
        return Err(format!("production lacks its columns {}; add them, or swap", lost.join(", ")));
    }
    if pair.columns.is_empty() {
        return Err("it has no columns".to_owned());
    }
    if table.has_rules {
        return Err("rules rewrite what is written to it; copy its rows yourself".to_owned());
    }
    Ok(pair)
}

/// Looks for what is to be done. None where nothing is; an `Err` inside says why nothing can be.
async fn look(
    way: Way,
    pair: Pair,
    keys: Option<&[Key]>,
    production: &mut PgConnection,
    copy: &mut PgConnection,
) -> Result<Result<Option<Chosen>, String>, PromoteError> {
    // What is merged depends on keys alone: rows that both have are left as they are.
    let digested = match way {
        Way::MergeMissing => pair.identity(),
        Way::Overwrite => &pair.columns,
    };
    let (there, here) = tokio::join!(
        digest_ranges(production, &pair.production, pair.identity(), digested),
        digest_ranges(copy, &pair.copy, pair.identity(), digested),
    );
    let (there, here) = (there?, here?);
    let ranges = unequal(&there, &here);
    if ranges.is_empty() {
        return Ok(Ok(None));
    }
    if way == Way::MergeMissing && pair.key.is_empty() {
        return Ok(Err(
            "it has no key that both databases know, so no row can be said to be missing".to_owned()
        ));
    }
    let scope = match keys {
        None => Ok(Scope::Ranges(ranges)),
        Some(keys) => Scope::of_keys(&pair, keys),
    };
    Ok(scope.map(|scope| {
        Some(Chosen { pair, scope, production_rows: rows_of(&there), copy_rows: rows_of(&here) })
    }))
}
