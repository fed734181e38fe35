//! In which order tables are written, so that no foreign key is in the way.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{FromRow, PgConnection};

use crate::promote::PromoteError;

/// A foreign key between two tables.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct ForeignKey {
    /// The table that refers, by oid.
    pub child: i64,
    /// The table that it refers to.
    pub parent: i64,
    /// Whether it may be checked at the end of the transaction.
    pub deferrable: bool,
    /// Whether a delete in the parent changes rows of the child.
    pub acts_on_delete: bool,
    /// The constraint.
    pub name: String,
}

/// Reads the foreign keys of a database.
///
/// # Errors
/// [`PromoteError::Archive`].
pub async fn read_foreign_keys(connection: &mut PgConnection) -> Result<Vec<ForeignKey>, PromoteError> {
    sqlx::query_as(include_str!("sql/foreign_keys.sql"))
        .persistent(false)
        .fetch_all(connection)
        .await
        .map_err(|error| PromoteError::database("read the foreign keys of production", &error))
}

/// Tables that are written by one statement: constraints are checked when it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The tables, by oid.
    pub tables: Vec<i64>,
    /// Whether they, or the one that it is, refer to each other.
    pub is_cyclic: bool,
}

/// Puts tables that need each other into one group, and each group after those that it needs.
pub fn groups(tables: &[i64], keys: &[ForeignKey]) -> Vec<Group> {
    let chosen: BTreeSet<i64> = tables.iter().copied().collect();
    let mut needs: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
    let at_once =
        |key: &&ForeignKey| !key.deferrable && chosen.contains(&key.child) && chosen.contains(&key.parent);
    for key in keys.iter().filter(at_once) {
        needs.entry(key.child).or_default().insert(key.parent);
    }
    let reached: BTreeMap<i64, BTreeSet<i64>> =
        chosen.iter().map(|table| (*table, reach(*table, &needs))).collect();
    let mut groups: Vec<(usize, Group)> = Vec::new();
    let mut placed: BTreeSet<i64> = BTreeSet::new();
    for table in tables {
        if !placed.insert(*table) {
            continue;
        }
        let own = &reached[table];
        let mut members = vec![*table];
        members.extend(own.iter().copied().filter(|other| other != table && reached[other].contains(table)));
        placed.extend(&members);
        // Whatever a table needs reaches fewer tables than it does, for it does not reach the table itself.
        let others = own.iter().filter(|other| !members.contains(other)).count();
        let is_cyclic = own.contains(table);
        groups.push((others, Group { tables: members, is_cyclic }));
    }
    groups.sort_by_key(|(others, _)| *others);
    groups.into_iter().map(|(_, group)| group).collect()
}

/// Every table that one needs, through any number of others.
fn reach(from: i64, needs: &BTreeMap<i64, BTreeSet<i64>>) -> BTreeSet<i64> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(table) = open.pop() {
        open.extend(needs.get(&table).into_iter().flatten().copied().filter(|next| reached.insert(*next)));
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(child: i64, parent: i64, deferrable: bool) -> ForeignKey {
        ForeignKey { child, parent, deferrable, acts_on_delete: false, name: String::new() }
    }

    #[test]
    fn parents_come_first_and_circles_together() {
        // 1 needs 2, 2 and 3 need each other, 3 needs 4; 5 refers to itself; 6 and 4 need each other, one of them later.
        let keys = [
            key(1, 2, false),
            key(2, 3, false),
            key(3, 2, false),
            key(3, 4, false),
            key(5, 5, false),
            key(6, 4, false),
            key(4, 6, true),
            key(4, 99, false),
        ];
        let found = groups(&[1, 2, 3, 4, 5, 6], &keys);
        let place =
            |table: i64| found.iter().position(|group| group.tables.contains(&table)).expect("placed");
        assert_eq!(found.iter().map(|group| group.tables.len()).sum::<usize>(), 6);
        assert_eq!(place(2), place(3));
        assert!(place(1) > place(2) && place(3) > place(4) && place(6) > place(4));
        let cyclic = |table: i64| found[place(table)].is_cyclic;
        assert_eq!([1, 2, 4, 5, 6].map(cyclic), [false, true, false, true, false]);
    }
}
