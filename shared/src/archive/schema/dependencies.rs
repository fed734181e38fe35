//! Who needs whom, from `pg_depend`.

use std::collections::HashSet;

use sqlx::{FromRow, PgConnection};

use super::{
    SchemaError,
    catalog::{Class, Key, rows},
    graph::Graph,
};

const DEPENDENCIES: &str = include_str!("sql/dependencies.sql");

#[derive(Debug, FromRow)]
struct DependencyRow {
    class: String,
    oid: i64,
    ref_class: String,
    ref_oid: i64,
    deptype: String,
}

/// What goes when an extension goes, by a person's wish: `ALTER … DEPENDS ON EXTENSION`.
pub(super) struct Bond {
    object: Key,
    extension: Key,
}

/// Writes the bonds down, once every object is in the graph.
pub(super) fn add_bonds(graph: &mut Graph, bonds: &[Bond]) {
    for bond in bonds.iter().filter(|bond| graph.has(bond.object)).collect::<Vec<_>>() {
        let Some(extension) = graph.target(bond.extension).map(str::to_owned) else { continue };
        if let Some(node) = graph.get_mut(bond.object) {
            node.more.push(format!("ALTER {} DEPENDS ON {extension}", node.target));
        }
    }
}

/// Adds every dependency between the objects of the graph, and returns the bonds to extensions.
pub(super) async fn add_dependencies(
    conn: &mut PgConnection,
    schemas: &[i64],
    graph: &mut Graph,
) -> Result<Vec<Bond>, SchemaError> {
    let found: Vec<DependencyRow> = rows(conn, "dependencies", DEPENDENCIES, schemas).await?;
    let owned: HashSet<i64> =
        graph.nodes().iter().filter(|n| n.key.class == Class::OwnedBy).map(|n| n.key.oid).collect();
    let mut bonds = Vec::new();
    for row in &found {
        let from = Key::new(Class::of_catalog(&row.class), row.oid);
        let to = Key::new(Class::of_catalog(&row.ref_class), row.ref_oid);
        if from.class == Class::Other || to.class == Class::Other {
            continue;
        }
        match row.deptype.as_str() {
            // A member comes with its extension. Extensions that need extensions say so with `n`.
            "e" => graph.alias(from, to),
            // A serial's sequence is made before its table, and tied to it afterwards.
            "a" if from.class == Class::Relation
                && owned.contains(&from.oid)
                && to.class == Class::Relation => {}
            "x" => {
                bonds.push(Bond { object: from, extension: to });
                graph.needs(from, to);
            }
            _ => graph.needs(from, to),
        }
    }
    Ok(bonds)
}
