//! Which tables of a backup have the rows that a request asks for.

use std::collections::BTreeSet;

use crate::archive::error::ArchiveError;
use crate::archive::manifest::{Manifest, StatementEntry, TableEntry};
use crate::archive::schema::ObjectKind;
use crate::archive::selection::{TableName, near};

/// The tables (`schema.table`) whose rows belong to the tables that are asked for: a name stands for partitions and
/// inheritance children too. `sql` is the backup's `schema.sql`.
///
/// # Errors
/// [`ArchiveError::InvalidRequest`] for what is no name, [`ArchiveError::UnknownTable`] with the names that are near.
pub fn wanted_tables(manifest: &Manifest, sql: &str, tables: &[String]) -> Result<Vec<String>, ArchiveError> {
    let made: Vec<&StatementEntry> =
        manifest.schema.statements.iter().filter(|statement| statement.kind == ObjectKind::Table).collect();
    let known: BTreeSet<String> = made
        .iter()
        .map(|statement| statement.name.clone())
        .chain(manifest.tables.iter().map(TableEntry::qualified_name))
        .collect();
    let mut wanted = BTreeSet::new();
    for table in tables {
        let name: TableName = table.parse().map_err(ArchiveError::InvalidRequest)?;
        let qualified = format!("{}.{}", name.schema, name.name);
        if !known.contains(&qualified) {
            return Err(unknown(manifest, &known, table));
        }
        wanted.insert(qualified);
    }
    let parents: Vec<(String, String)> = manifest
        .schema
        .statements
        .iter()
        .filter_map(|statement| Some((statement, sql.get(statement.range())?)))
        .flat_map(|(statement, text)| {
            parents(statement, text).into_iter().map(|parent| (parent, statement.name.clone()))
        })
        .collect();
    let ident_of = |name: &str| {
        made.iter().find(|statement| statement.name == name).and_then(|statement| statement.table.clone())
    };
    let mut open: Vec<String> = wanted.iter().cloned().collect();
    while let Some(name) = open.pop() {
        let Some(parent) = ident_of(&name) else { continue };
        for (_, child) in parents.iter().filter(|(ident, _)| *ident == parent) {
            if wanted.insert(child.clone()) {
                open.push(child.clone());
            }
        }
    }
    Ok(wanted
        .into_iter()
        .filter(|name| manifest.tables.iter().any(|table| table.qualified_name() == *name))
        .collect())
}

fn unknown(manifest: &Manifest, known: &BTreeSet<String>, table: &str) -> ArchiveError {
    let near = near(table, known.iter().map(String::as_str));
    let meant =
        if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(" or ")) };
    ArchiveError::UnknownTable {
        table: table.to_owned(),
        reason: format!("backup {} has no such table{meant}", manifest.backup_id),
    }
}

/// The tables, as statements name them, that a statement ties its table to as a partition or a child.
fn parents(statement: &StatementEntry, text: &str) -> Vec<String> {
    match statement.kind {
        ObjectKind::Attachment => {
            let parent =
                text.strip_prefix("ALTER TABLE ONLY ").and_then(|rest| rest.split_once(" ATTACH PARTITION "));
            parent.map(|(parent, _)| parent.to_owned()).into_iter().collect()
        }
        ObjectKind::Table => {
            let list = text.rsplit_once("\nINHERITS (").and_then(|(_, rest)| rest.split_once(')'));
            list.map(|(list, _)| list.split(", ").map(str::to_owned).collect()).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}
