//! The census: what the database has, less what was written, is named.

use sqlx::{FromRow, PgConnection};

use super::{
    SchemaError,
    catalog::{Class, Key, rows},
    graph::Graph,
    statement::Unsupported,
};

const CENSUS: &str = include_str!("sql/census.sql");
const OTHER: &str = include_str!("sql/census_other.sql");
const IDENTIFY: &str = include_str!("sql/identify.sql");

#[derive(Debug, FromRow)]
struct NameRow {
    class: String,
    oid: i64,
    kind: String,
    identity: String,
}

/// Names everything that exists and was not written, and everything written that needs something of the sort.
pub(super) async fn name_the_rest(
    conn: &mut PgConnection,
    schemas: &[i64],
    graph: &mut Graph,
) -> Result<(), SchemaError> {
    let found: Vec<(String, i64)> = rows(conn, "census", CENSUS, schemas).await?;
    let missing: Vec<(String, i64)> = found
        .into_iter()
        .filter(|(class, oid)| !graph.accounts_for(Key::new(Class::of_catalog(class), *oid)))
        .collect();
    for row in identify(conn, &missing).await? {
        graph.unsupported.push(Unsupported {
            kind: row.kind,
            name: row.identity,
            why: "this sort of object is not written".into(),
        });
    }
    let dangling = graph.dangling();
    let wanted: Vec<(String, i64)> = dangling
        .iter()
        .filter_map(|(_, to)| to.class.catalog().map(|class| (class.to_owned(), to.oid)))
        .collect();
    let names = identify(conn, &wanted).await?;
    for (from, to) in dangling {
        let name = names.iter().find(|n| Key::new(Class::of_catalog(&n.class), n.oid) == to);
        let (Some(name), Some(node)) = (name, graph.get(from)) else { continue };
        let (target, kind) = (node.target.clone(), &name.kind);
        graph.unsupported.push(Unsupported {
            kind: "reference".into(),
            name: target,
            why: format!("it needs {kind} {}, which is not written; making it fails without", name.identity),
        });
    }
    let other: Vec<(String, String, String)> = rows(conn, "other objects", OTHER, schemas).await?;
    graph.unsupported.extend(other.into_iter().map(|(kind, name, why)| Unsupported { kind, name, why }));
    Ok(())
}

async fn identify(conn: &mut PgConnection, objects: &[(String, i64)]) -> Result<Vec<NameRow>, SchemaError> {
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    let (classes, oids): (Vec<String>, Vec<i64>) = objects.iter().cloned().unzip();
    sqlx::query_as(IDENTIFY)
        .bind(oids)
        .bind(classes)
        .persistent(false)
        .fetch_all(conn)
        .await
        .map_err(|source| SchemaError::Catalog { what: "names", source })
}
