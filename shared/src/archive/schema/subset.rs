//! A definition that holds only some of the tables.
//!
//! Kept are the tables that were chosen, what their definition needs, what hangs on them (indexes, keys, triggers,
//! policies), and everything that needs no other table: types, functions, views of these tables alone. Functions stay
//! whether something is seen to use them or not, because Postgres does not track what a function's body calls, and a
//! check that calls one whose body calls another would fail while rows are loaded.
//!
//! A table that is needed for its definition alone (a parent in inheritance, a row type) is made without its rows.

use std::collections::{BTreeSet, HashSet};

use super::{
    catalog::{Class, Key},
    graph::Graph,
    statement::{ObjectKind, Unsupported},
    tables::TableRow,
};

/// What the names of triggers that capture changes begin with.
const CAPTURE: &str = "recoup_capture_";

/// The tables that a definition is to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableSubset {
    /// Oids of the tables whose rows are copied.
    pub tables: BTreeSet<i64>,
    /// Oids of the partitioned tables that go with them.
    pub partitioned: BTreeSet<i64>,
}

/// Takes out of the graph what the subset does not hold. Runs when all objects and dependencies are in.
pub(super) fn restrict(graph: &mut Graph, subset: &TableSubset, relations: &[TableRow]) {
    let chosen: Vec<Key> =
        subset.tables.iter().chain(&subset.partitioned).map(|oid| Key::relation(*oid)).collect();
    let reached: HashSet<Key> = graph.reachable(&chosen).into_values().flatten().collect();
    let left_out = unchosen_tables(graph, &reached);
    let left_out = graph.needing(&left_out);
    let with_rows: HashSet<Key> = relations
        .iter()
        .filter(|relation| relation.relkind == "r")
        .map(|relation| Key::relation(relation.oid))
        .collect();
    name_what_is_lost(graph, subset, &with_rows.intersection(&reached).copied().collect(), &left_out);
    let captures = captures(graph).collect();
    let mut left_out = left_out;
    left_out.extend(graph.needing(&captures));
    graph.remove(&left_out);
}

/// Tables that nothing chosen needs, and their columns' sequences.
fn unchosen_tables(graph: &Graph, reached: &HashSet<Key>) -> HashSet<Key> {
    let mut left_out: HashSet<Key> = graph
        .nodes()
        .iter()
        .filter(|node| node.kind == ObjectKind::Table && node.key.class == Class::Relation)
        .map(|node| node.key)
        .filter(|key| !reached.contains(key))
        .collect();
    let owned = graph.nodes().iter().filter(|node| node.key.class == Class::OwnedBy);
    let sequences: Vec<Key> = owned
        .filter(|node| graph.needs_of(node.key).iter().any(|need| left_out.contains(need)))
        .map(|node| Key::relation(node.key.oid))
        .filter(|key| !reached.contains(key))
        .collect();
    left_out.extend(sequences);
    left_out
}

/// The triggers that capture changes: the table that they write to is not among the chosen.
fn captures(graph: &Graph) -> impl Iterator<Item = Key> {
    let is_capture = |name: &str| name.rsplit('.').next().is_some_and(|name| name.starts_with(CAPTURE));
    graph
        .nodes()
        .iter()
        .filter(move |node| node.kind == ObjectKind::Trigger && is_capture(&node.name))
        .map(|node| node.key)
}

/// Names what a chosen table has in the database and loses here, and the rows of `reached` tables that are not chosen.
fn name_what_is_lost(
    graph: &mut Graph,
    subset: &TableSubset,
    reached: &HashSet<Key>,
    left_out: &HashSet<Key>,
) {
    let is_chosen = |oid: i64| subset.tables.contains(&oid) || subset.partitioned.contains(&oid);
    let chosen_idents: HashSet<&str> = graph
        .nodes()
        .iter()
        .filter(|node| node.key.class == Class::Relation && is_chosen(node.key.oid))
        .filter_map(|node| node.table.as_deref())
        .collect();
    let mut lost = Vec::new();
    for node in graph.nodes() {
        let of_chosen = node.table.as_deref().is_some_and(|table| chosen_idents.contains(table));
        if left_out.contains(&node.key) && of_chosen {
            lost.push(Unsupported {
                kind: format!("{:?}", node.kind).to_lowercase(),
                name: node.target.clone(),
                why: "it needs a table that is not in this backup".into(),
            });
        }
        if reached.contains(&node.key) && !is_chosen(node.key.oid) {
            lost.push(Unsupported {
                kind: "rows".into(),
                name: node.target.clone(),
                why: "only its definition is here, because a table of this backup needs it".into(),
            });
        }
    }
    graph.unsupported.extend(lost);
}
