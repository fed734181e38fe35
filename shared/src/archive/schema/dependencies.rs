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

/// Adds every dependency between the objects of the graph.
pub(super) async fn add_dependencies(
    conn: &mut PgConnection,
    schemas: &[i64],
    graph: &mut Graph,
) -> Result<(), SchemaError> {
    let found: Vec<DependencyRow> = rows(conn, "dependencies", DEPENDENCIES, schemas).await?;
    let owned: HashSet<i64> =
        graph.nodes().iter().filter(|n| n.key.class == Class::OwnedBy).map(|n| n.key.oid).collect();
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
            _ => graph.needs(from, to),
        }
    }
    Ok(())
}
