//! Schemas and extensions.

use std::collections::BTreeSet;

use sqlx::{FromRow, PgConnection};

use super::{
    SchemaError,
    catalog::{Class, Key, rows},
    graph::Graph,
    node::{Body, Node},
    statement::{ObjectKind, Phase, Unsupported},
};

const NAMESPACES: &str = include_str!("sql/namespaces.sql");
const EXTENSIONS: &str = include_str!("sql/extensions.sql");

#[derive(Debug, FromRow)]
struct NamespaceRow {
    oid: i64,
    name: String,
    ident: String,
    of_extension: bool,
}

#[derive(Debug, FromRow)]
struct ExtensionRow {
    oid: i64,
    name: String,
    ident: String,
    schema: String,
    schema_ident: String,
    schema_oid: i64,
    schema_selected: bool,
    schema_comes_along: bool,
    config_tables: Vec<String>,
}

fn node(key: Key, kind: ObjectKind, name: &str, target: String, sql: String) -> Node {
    Node {
        key,
        kind,
        schema: None,
        name: name.into(),
        phase: Phase::PreData,
        table: None,
        target,
        body: Body::Sql(sql),
        more: Vec::new(),
    }
}

/// Adds the schemas, and every extension: tables of the selection may use any of them. An extension's version is
/// the one that the target offers.
pub(super) async fn add_namespaces(
    conn: &mut PgConnection,
    schemas: &[i64],
    graph: &mut Graph,
) -> Result<(), SchemaError> {
    let namespaces: Vec<NamespaceRow> = rows(conn, "schemas", NAMESPACES, schemas).await?;
    for schema in namespaces.iter().filter(|schema| !schema.of_extension) {
        // `public` is in every new database, unless someone dropped it.
        let guard = if schema.name == "public" { "IF NOT EXISTS " } else { "" };
        graph.add(node(
            Key::new(Class::Namespace, schema.oid),
            ObjectKind::Schema,
            &schema.name,
            format!("SCHEMA {}", schema.ident),
            format!("CREATE SCHEMA {guard}{}", schema.ident),
        ));
    }
    let extensions: Vec<ExtensionRow> = rows(conn, "extensions", EXTENSIONS, schemas).await?;
    let mut made = BTreeSet::new();
    for extension in &extensions {
        if !extension.schema_selected && !extension.schema_comes_along && made.insert(extension.schema_oid) {
            graph.add(node(
                Key::new(Class::Namespace, extension.schema_oid),
                ObjectKind::Schema,
                &extension.schema,
                format!("SCHEMA {}", extension.schema_ident),
                format!("CREATE SCHEMA IF NOT EXISTS {}", extension.schema_ident),
            ));
        }
        let key = Key::new(Class::Extension, extension.oid);
        graph.add(node(
            key,
            ObjectKind::Extension,
            &extension.name,
            format!("EXTENSION {}", extension.ident),
            format!(
                "CREATE EXTENSION IF NOT EXISTS {} WITH SCHEMA {}",
                extension.ident, extension.schema_ident
            ),
        ));
        for table in &extension.config_tables {
            graph.unsupported.push(Unsupported {
                kind: "extension configuration".into(),
                name: table.clone(),
                why: format!("rows that extension {} keeps in its own table are not copied", extension.name),
            });
        }
    }
    Ok(())
}
