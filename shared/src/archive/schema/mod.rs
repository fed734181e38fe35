//! A database's whole definition, read from the catalog over a plain connection and written as portable SQL.
//!
//! The measure of completeness is `pg_dump`: its output for a database made from these statements equals its output
//! for the original. What cannot be brought back is named in [`SchemaDump::unsupported`], never left out silently:
//! a census of the catalog is compared with what was written.
//!
//! Everything is read in the caller's transaction; make it `REPEATABLE READ`, so that definition and data are of one
//! instant. `pg_get_*def` functions look at the catalog as it is now, not as the snapshot saw it: a table
//! dropped while it is being read is an error here, and the caller starts again. One query per class of objects,
//! whatever their number. Postgres 14 to 18.

mod catalog;
mod census;
mod columns;
mod comments;
mod constraints;
mod cycles;
mod data;
mod dependencies;
mod error;
mod graph;
mod indexes;
mod namespaces;
mod node;
mod operators;
mod ownership;
mod privileges;
mod routines;
mod selection;
mod sequences;
mod servers;
mod statement;
mod subset;
mod tables;
mod text_search;
mod triggers;
mod types;
mod views;

use std::collections::HashMap;

use sqlx::PgConnection;

pub(super) use cycles::strong_components;
pub use data::{Column, Sequence, Table, read_sequences, read_sequences_of, read_tables};
pub use error::SchemaError;
pub use selection::{SchemaSelection, schema_oids};
pub use statement::{
    OWNERSHIP_MARKER, ObjectKind, POST_DATA_MARKER, PRE_DATA_MARKER, Phase, SETTINGS, SchemaDump, Statement,
    Unsupported,
};
pub use subset::TableSubset;

use catalog::{Key, PinnedSearchPath};
use graph::Graph;

/// Reads the definition of everything in the selected schemas, and of what belongs to no schema.
///
/// # Errors
/// If a schema of the selection does not exist or the catalog cannot be read. The connection's `search_path` is as
/// before, unless its transaction has failed.
pub async fn read_schema(
    conn: &mut PgConnection,
    selection: &SchemaSelection,
) -> Result<SchemaDump, SchemaError> {
    read_schema_of(conn, selection, None).await
}

/// The same for some of the tables only, where `subset` says which: see [`TableSubset`].
///
/// # Errors
/// As [`read_schema`].
pub async fn read_schema_of(
    conn: &mut PgConnection,
    selection: &SchemaSelection,
    subset: Option<&TableSubset>,
) -> Result<SchemaDump, SchemaError> {
    let path = PinnedSearchPath::pin(conn).await?;
    let dump = read_pinned(conn, selection, subset).await;
    let restored = path.restore(conn).await;
    let dump = dump?;
    restored?;
    Ok(dump)
}

async fn read_pinned(
    conn: &mut PgConnection,
    selection: &SchemaSelection,
    subset: Option<&TableSubset>,
) -> Result<SchemaDump, SchemaError> {
    let schemas = schema_oids(conn, selection).await?;
    let mut graph = Graph::default();
    let constraints = constraints::read_constraints(conn, &schemas).await?;
    namespaces::add_namespaces(conn, &schemas, &mut graph).await?;
    types::add_types(conn, &schemas, &mut graph, &constraints).await?;
    routines::add_routines(conn, &schemas, &mut graph).await?;
    operators::add_operators(conn, &schemas, &mut graph).await?;
    text_search::add_text_search(conn, &schemas, &mut graph).await?;
    servers::add_servers(conn, &schemas, &mut graph).await?;
    let identities = sequences::add_sequences(conn, &schemas, &mut graph).await?;
    let tables = tables::add_relations(conn, &schemas, &mut graph, &identities, &constraints).await?;
    constraints::add_keys(&mut graph, &constraints);
    triggers::add_watchers(conn, &schemas, &mut graph).await?;
    let bonds = dependencies::add_dependencies(conn, &schemas, &mut graph).await?;
    views::add_refreshes(&mut graph, &tables);
    indexes::add_indexes(conn, &schemas, &mut graph).await?;
    dependencies::add_bonds(&mut graph, &bonds);
    if let Some(subset) = subset {
        subset::restrict(&mut graph, subset, &tables);
    }
    graph.settle();
    let comments = comments::read_comments(conn, &schemas, &graph).await?;
    let owned = privileges::read_ownership(conn, &schemas, &mut graph).await?;
    census::name_the_rest(conn, &schemas, &mut graph).await?;
    let mut dump = arrange(&mut graph, comments);
    dump.ownership.extend(owned);
    dump.sequences = sequences::made(&graph, &identities);
    Ok(dump)
}

/// Puts the ordered nodes into the lists of a dump.
fn arrange(graph: &mut Graph, mut comments: HashMap<Key, Vec<Statement>>) -> SchemaDump {
    let mut dump = SchemaDump::default();
    let order = graph.order();
    // Where each node's last statement stands in its list.
    let mut ends: Vec<usize> = Vec::with_capacity(order.len());
    let mut late_comments = Vec::new();
    for (node, needs) in &order {
        let list = match node.phase {
            Phase::PreData => &mut dump.pre_data,
            Phase::Ownership => &mut dump.ownership,
            _ => &mut dump.post_data,
        };
        let mut after: Vec<usize> = needs
            .iter()
            .filter(|need| node.phase != Phase::PreData && order[**need].0.phase == node.phase)
            .map(|need| ends[*need])
            .collect();
        after.sort_unstable();
        list.push(node.statement(node.sql(), after));
        for sql in &node.more {
            let after = if node.phase == Phase::PreData { Vec::new() } else { vec![list.len() - 1] };
            list.push(node.statement(sql.clone(), after));
        }
        ends.push(list.len() - 1);
        for comment in comments.remove(&node.key).unwrap_or_default() {
            if comment.phase == node.phase {
                let after =
                    if node.phase == Phase::PreData { Vec::new() } else { vec![ends[ends.len() - 1]] };
                list.push(Statement { after, ..comment });
            } else {
                late_comments.push(comment);
            }
        }
    }
    place_comments(&mut dump.post_data, late_comments);
    graph.unsupported.sort();
    graph.unsupported.dedup();
    dump.unsupported = std::mem::take(&mut graph.unsupported);
    dump
}

/// Comments stand in their own phase; what follows them refers to nothing before them.
fn place_comments(post_data: &mut Vec<Statement>, comments: Vec<Statement>) {
    let place = post_data.partition_point(|statement| statement.phase <= Phase::Comments);
    let added = comments.len();
    post_data.splice(place..place, comments);
    for statement in &mut post_data[place + added..] {
        for after in &mut statement.after {
            if *after >= place {
                *after += added;
            }
        }
    }
}
