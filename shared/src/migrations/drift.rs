//! What of a schema is not as the migrations make it: two definitions, object by object.
//!
//! Both are read by [`crate::archive::schema`] from servers of the same version, so that equal objects have equal
//! statements. Owners and privileges are the host's and not compared.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::SCHEMA;
use crate::archive::schema::{ObjectKind, Phase, SchemaDump, Statement};

/// sqlx's own table, which it may change as it likes.
const BOOKKEEPING: &str = "_sqlx_migrations";

/// An object that is not as the migrations make it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Drift {
    /// The sort of object.
    pub kind: ObjectKind,
    /// Its name; what belongs to a table is `table.name`.
    pub name: String,
    /// What happened to it.
    pub change: Change,
    /// Of a table: the columns and constraints that differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<String>,
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// No migration makes it.
    Added,
    /// A migration makes it, and it is not there.
    Dropped,
    /// It is there, and otherwise than a migration makes it.
    Altered,
}

/// The objects of schema `recoup` in which `found` differs from `expected`.
pub fn differences(expected: &SchemaDump, found: &SchemaDump) -> Vec<Drift> {
    let (expected, found) = (objects(expected), objects(found));
    let keys: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let differing = keys.into_iter().filter_map(|key| {
        let (before, now) = (expected.get(key), found.get(key));
        let change = match (before, now) {
            (before, now) if before == now => return None,
            (Some(_), None) => Change::Dropped,
            (None, Some(_)) => Change::Added,
            _ => Change::Altered,
        };
        let parts = match (key.0, before, now) {
            (ObjectKind::Table, Some(before), Some(now)) => changed_parts(before, now),
            _ => Vec::new(),
        };
        Some(Drift { kind: key.0, name: key.1.to_owned(), change, parts })
    });
    differing.collect()
}

/// Statements by object: one object may have several, a comment for one.
fn objects(dump: &SchemaDump) -> BTreeMap<(ObjectKind, &str), BTreeSet<&str>> {
    let mut objects: BTreeMap<_, BTreeSet<&str>> = BTreeMap::new();
    let ours = |statement: &&Statement| {
        statement.phase != Phase::Ownership
            && statement.schema.as_deref() == Some(SCHEMA)
            && statement.name.split('.').next() != Some(BOOKKEEPING)
            && !captures_another(&statement.name)
    };
    for statement in dump.pre_data.iter().chain(&dump.post_data).filter(ours) {
        objects.entry((statement.kind, statement.name.as_str())).or_default().insert(&statement.sql);
    }
    objects
}

/// Functions that capture the changes of an application's tables are made by a command, and not by a migration. Those
/// of our own tables have numbers below 1000.
fn captures_another(name: &str) -> bool {
    let name = name.split('(').next().unwrap_or(name);
    let digits = name.strip_prefix("capture_").map(|rest| rest.strip_prefix("gone_").unwrap_or(rest));
    digits.and_then(|digits| digits.parse::<u32>().ok()).is_some_and(|number| number >= 1000)
}

/// The names of the lines that only one of two definitions of a table has. Each line is a column, by its name, or a
/// constraint.
fn changed_parts(before: &BTreeSet<&str>, now: &BTreeSet<&str>) -> Vec<String> {
    let lines = |sql: &BTreeSet<&str>| -> BTreeSet<String> {
        sql.iter()
            .flat_map(|sql| sql.lines())
            .map(|line| line.trim().trim_end_matches(',').to_owned())
            .collect()
    };
    let (before, now) = (lines(before), lines(now));
    let names: BTreeSet<String> = before
        .symmetric_difference(&now)
        .map(|line| {
            let name = line.strip_prefix("CONSTRAINT ").unwrap_or(line);
            name.split(' ').next().unwrap_or(name).to_owned()
        })
        .collect();
    names.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(kind: ObjectKind, name: &str, sql: &str) -> Statement {
        Statement {
            kind,
            schema: Some(SCHEMA.to_owned()),
            name: name.to_owned(),
            phase: Phase::PreData,
            table: None,
            after: Vec::new(),
            sql: sql.to_owned(),
        }
    }

    #[test]
    fn each_object_that_differs_is_named_with_its_columns() {
        let table = |columns: &str| {
            statement(ObjectKind::Table, "orders", &format!("CREATE TABLE recoup.orders (\n{columns}\n)"))
        };
        let expected = SchemaDump {
            pre_data: vec![
                table("    id text NOT NULL,\n    amount bigint,\n    CONSTRAINT paid CHECK ((amount > 0))"),
                statement(ObjectKind::Index, "by_amount", "CREATE INDEX"),
            ],
            ..SchemaDump::default()
        };
        let found = SchemaDump {
            pre_data: vec![
                table("    id text NOT NULL,\n    amount integer,\n    note text"),
                statement(ObjectKind::View, "mine", "CREATE VIEW"),
                statement(ObjectKind::Table, BOOKKEEPING, "CREATE TABLE"),
            ],
            ..SchemaDump::default()
        };
        assert_eq!(differences(&expected, &expected), []);
        let named: Vec<String> = differences(&expected, &found)
            .iter()
            .map(|drift| {
                format!("{:?} {} {:?} {}", drift.kind, drift.name, drift.change, drift.parts.join(" "))
            })
            .collect();
        let expected =
            ["Table orders Altered amount note paid", "View mine Added ", "Index by_amount Dropped "];
        assert_eq!(named, expected);
    }
}
