//! When a row was created, table by table: the rule of `docs/decisions/0020-when-a-row-was-created.md`.

use std::collections::{BTreeMap, BTreeSet};

use super::catalog::{Catalog, Column, ForeignKey};
use super::closure::Closure;
use super::name::near;
use super::window::Window;
use crate::archive::error::ArchiveError;

/// Columns that say when their row was created, the first that a table has.
pub(super) const CREATED_COLUMNS: [&str; 9] = [
    "created_at",
    "created",
    "creation_time",
    "inserted_at",
    "received_at",
    "granted_at",
    "posted_at",
    "started_at",
    "at",
];

/// What a time is stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeType {
    /// `timestamp with time zone`.
    Zoned,
    /// `timestamp` or `date`: taken as UTC.
    Utc,
}

impl TimeType {
    fn of(type_name: &str) -> Option<Self> {
        match type_name {
            "timestamp with time zone" => Some(Self::Zoned),
            "timestamp without time zone" | "date" => Some(Self::Utc),
            _ => None,
        }
    }
}

/// How it is known when a table's rows were created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Created {
    /// A column says it.
    Column(String, TimeType),
    /// A row is a part of another (its primary key holds the foreign key), and as old as that one.
    With(Vec<ForeignKey>),
}

/// Which rows a table gives to a window by itself, besides those that others need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Own {
    /// Those created in it.
    InWindow,
    /// All: nothing says when they were created.
    Whole,
    /// None: it is there for others, or the request says so.
    Nothing,
}

/// What is known of a closure's tables and time.
#[derive(Debug, Default)]
pub(super) struct Times {
    pub(super) created: BTreeMap<i64, Created>,
    pub(super) own: BTreeMap<i64, Own>,
}

/// Works out how each table's rows are dated.
///
/// # Errors
/// [`ArchiveError::InvalidRequest`] or [`ArchiveError::UnknownTable`] for a column that the request names and
/// that cannot serve.
pub(super) fn times(
    catalog: &Catalog,
    closure: &Closure,
    columns: &BTreeMap<i64, Vec<Column>>,
    window: &Window,
) -> Result<Times, ArchiveError> {
    let mut times = Times::default();
    let mut nothing = BTreeSet::new();
    for (table, column) in &window.created_columns {
        let oid = catalog.find(table)?.oid;
        let meant: Vec<i64> =
            catalog.named(oid).into_iter().filter(|oid| closure.roots.contains(oid)).collect();
        if meant.is_empty() {
            return Err(ArchiveError::InvalidRequest(format!(
                "created_columns names {table}, which is not one of this backup's own tables; take it out"
            )));
        }
        for oid in meant {
            match column {
                None => {
                    nothing.insert(oid);
                }
                Some(name) => {
                    let of_table = columns.get(&oid).map_or(&[][..], Vec::as_slice);
                    times.created.insert(oid, asked_for(&table.to_string(), name, of_table)?);
                }
            }
        }
    }
    for oid in &closure.tables {
        if !times.created.contains_key(oid)
            && let Some(column) = columns.get(oid).and_then(|columns| by_name(columns))
        {
            times.created.insert(*oid, column);
        }
    }
    date_parts(closure, &mut times.created);
    for oid in &closure.tables {
        let own = if !closure.roots.contains(oid) || nothing.contains(oid) {
            Own::Nothing
        } else if times.created.contains_key(oid) {
            Own::InWindow
        } else {
            Own::Whole
        };
        times.own.insert(*oid, own);
    }
    Ok(times)
}

fn by_name(columns: &[Column]) -> Option<Created> {
    CREATED_COLUMNS.iter().find_map(|name| {
        let column = columns.iter().find(|column| column.name == *name)?;
        TimeType::of(&column.type_name).map(|kind| Created::Column(column.name.clone(), kind))
    })
}

fn asked_for(table: &str, wanted: &str, columns: &[Column]) -> Result<Created, ArchiveError> {
    let Some(column) = columns.iter().find(|column| column.name == wanted) else {
        let times = columns.iter().filter(|column| TimeType::of(&column.type_name).is_some());
        let candidates: Vec<&str> = times.map(|column| column.name.as_str()).collect();
        let near = near(wanted, columns.iter().map(|column| column.name.as_str()));
        let offered = if near.is_empty() { candidates } else { near };
        return Err(ArchiveError::InvalidRequest(format!(
            "created_columns names {table}.{wanted}, which does not exist; {}",
            if offered.is_empty() {
                "the table has no column of a time's type: give null to take only the rows that others need"
                    .to_owned()
            } else {
                format!("it has {}", offered.join(", "))
            }
        )));
    };
    TimeType::of(&column.type_name).map(|kind| Created::Column(column.name.clone(), kind)).ok_or_else(|| {
        ArchiveError::InvalidRequest(format!(
            "created_columns names {table}.{wanted}, which is of type {}; name a column of type timestamptz, timestamp or date",
            column.type_name
        ))
    })
}

/// Dates the tables without a column of their own by what their rows are a part of, until no more can be. A table
/// waits until all that its rows are a part of is dated, as long as there is another one to go on with.
fn date_parts(closure: &Closure, created: &mut BTreeMap<i64, Created>) {
    loop {
        let mut found: BTreeMap<i64, Vec<ForeignKey>> = BTreeMap::new();
        let mut waiting = BTreeSet::new();
        for key in closure.keys.iter().filter(|key| key.in_primary_key && key.child != key.parent) {
            if created.contains_key(&key.child) {
                continue;
            }
            if created.contains_key(&key.parent) {
                found.entry(key.child).or_default().push(key.clone());
            } else {
                waiting.insert(key.child);
            }
        }
        if found.is_empty() {
            return;
        }
        if found.keys().any(|child| !waiting.contains(child)) {
            found.retain(|child, _| !waiting.contains(child));
        }
        created.extend(found.into_iter().map(|(child, keys)| (child, Created::With(keys))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::selection::fixtures::{part_of, relation};

    #[test]
    fn parts_are_dated_by_all_that_they_are_a_part_of() {
        // 1 has a column; 2 is a part of 1; 3 of 1 and 2; 4 and 5 of each other; 6 of 4 and of 1.
        let keys = [(2, 1), (3, 1), (3, 2), (4, 5), (5, 4), (6, 4), (6, 1), (2, 2)];
        let keys = keys.map(|(child, parent)| part_of(child, parent)).into();
        let catalog = Catalog::new((1..=6).map(|oid| relation(oid, "r", &[])).collect(), keys);
        let closure = Closure::of(&catalog, &(1..=6).collect());
        let mut created = BTreeMap::from([(1, Created::Column("created_at".to_owned(), TimeType::Zoned))]);

        date_parts(&closure, &mut created);

        let dated_by = |table: i64| match created.get(&table) {
            Some(Created::With(keys)) => keys.iter().map(|key| key.parent).collect(),
            _ => Vec::new(),
        };
        assert_eq!((dated_by(2), dated_by(3), dated_by(6)), (vec![1], vec![1, 2], vec![1]));
        assert!(!created.contains_key(&4) && !created.contains_key(&5));
    }

    #[test]
    fn the_first_of_the_known_columns_counts_where_its_type_is_a_time() {
        let column = |name: &str, type_name: &str| Column::new(1, name, type_name);
        let zoned = "timestamp with time zone";
        for (columns, expected) in [
            (vec![column("at", zoned), column("created_at", zoned)], Some("created_at")),
            (vec![column("created", "bigint"), column("received_at", "date")], Some("received_at")),
            (vec![column("placed_at", zoned), column("Created_At", zoned)], None),
        ] {
            let found = by_name(&columns).map(|created| match created {
                Created::Column(name, _) => name,
                Created::With(_) => String::new(),
            });
            assert_eq!(found.as_deref(), expected);
        }
    }
}
