//! Enums, composite types, ranges and domains.

use std::collections::HashMap;

use sqlx::{FromRow, PgConnection};

use super::{
    SchemaError,
    catalog::{Class, Key, rows},
    constraints::ConstraintRow,
    graph::Graph,
    node::{Body, List, Node, Optional, Part},
    statement::{ObjectKind, Phase, Unsupported},
};

const TYPES: &str = include_str!("sql/types.sql");
const ROW_TYPES: &str = include_str!("sql/row_types.sql");

#[derive(Debug, FromRow)]
struct TypeRow {
    oid: i64,
    schema: String,
    name: String,
    ident: String,
    typtype: String,
    is_defined: bool,
    relation: i64,
    base_type: Option<String>,
    not_null: bool,
    not_null_name: Option<String>,
    not_null_ident: Option<String>,
    not_null_oid: Option<i64>,
    default_expr: Option<String>,
    collation: Option<String>,
    labels: Vec<String>,
    attributes: Vec<String>,
    subtype: Option<String>,
    subtype_opclass: Option<String>,
    range_collation: Option<String>,
    has_canonical: bool,
    subtype_diff: Option<String>,
    multirange_ident: Option<String>,
}

/// Adds the types, and says which other type each row, array and multirange type belongs to.
pub(super) async fn add_types(
    conn: &mut PgConnection,
    schemas: &[i64],
    graph: &mut Graph,
    constraints: &[ConstraintRow],
) -> Result<(), SchemaError> {
    let mut checks_of: HashMap<i64, Vec<&ConstraintRow>> = HashMap::new();
    for check in constraints.iter().filter(|c| c.contype == "c" && c.domain != 0) {
        checks_of.entry(check.domain).or_default().push(check);
    }
    let types: Vec<TypeRow> = rows(conn, "types", TYPES, schemas).await?;
    for row in &types {
        let key = Key::new(Class::Type, row.oid);
        let body = match row.typtype.as_str() {
            "e" => Body::Sql(format!("CREATE TYPE {} AS ENUM ({})", row.ident, row.labels.join(", "))),
            "c" => {
                graph.part(Key::relation(row.relation), key, format!("TYPE {}", row.ident));
                Body::Sql(format!(
                    "CREATE TYPE {} AS (\n    {}\n)",
                    row.ident,
                    row.attributes.join(",\n    ")
                ))
            }
            "r" if !row.has_canonical => Body::Sql(range_sql(row)),
            "d" => {
                let checks = checks_of.remove(&row.oid).unwrap_or_default();
                domain_body(graph, row, key, &checks)
            }
            other => {
                let (kind, why) = match other {
                    "r" => ("range type", "its canonical function is written in C"),
                    _ if !row.is_defined => ("shell type", "it is declared and not defined"),
                    _ => ("base type", "its input and output functions are written in C"),
                };
                graph.refuse(
                    key,
                    Unsupported {
                        kind: kind.into(),
                        name: row.ident.clone(),
                        why: format!("{why}; whatever uses it cannot be restored without it"),
                    },
                );
                continue;
            }
        };
        let sort = if row.typtype == "d" { "DOMAIN" } else { "TYPE" };
        graph.add(Node {
            key,
            kind: ObjectKind::Type,
            schema: Some(row.schema.clone()),
            name: row.name.clone(),
            phase: Phase::PreData,
            table: None,
            target: format!("{sort} {}", row.ident),
            body,
            more: Vec::new(),
        });
    }
    let row_types: Vec<(i64, String, i64)> = rows(conn, "row types", ROW_TYPES, schemas).await?;
    for (oid, class, owner) in row_types {
        graph.alias(Key::new(Class::Type, oid), Key::new(Class::of_catalog(&class), owner));
    }
    Ok(())
}

fn range_sql(row: &TypeRow) -> String {
    let options = [
        ("subtype", &row.subtype),
        ("subtype_opclass", &row.subtype_opclass),
        ("collation", &row.range_collation),
        ("subtype_diff", &row.subtype_diff),
        ("multirange_type_name", &row.multirange_ident),
    ];
    let options: Vec<String> = options
        .iter()
        .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name} = {value}")))
        .collect();
    format!("CREATE TYPE {} AS RANGE (\n    {}\n)", row.ident, options.join(",\n    "))
}

fn domain_body(graph: &mut Graph, row: &TypeRow, key: Key, checks: &[&ConstraintRow]) -> Body {
    let mut head = format!("CREATE DOMAIN {} AS {}", row.ident, row.base_type.as_deref().unwrap_or_default());
    if let Some(collation) = &row.collation {
        head.push_str(&format!(" COLLATE {collation}"));
    }
    if let Some(default) = &row.default_expr {
        head.push_str(&format!(" DEFAULT {default}"));
    }
    if row.not_null {
        if let (Some(name), Some(ident)) = (&row.not_null_name, &row.not_null_ident)
            && *name != format!("{}_not_null", row.name)
        {
            head.push_str(&format!(" CONSTRAINT {ident}"));
        }
        head.push_str(" NOT NULL");
    }
    if let (Some(oid), Some(ident)) = (row.not_null_oid, &row.not_null_ident) {
        let target = format!("CONSTRAINT {ident} ON DOMAIN {}", row.ident);
        graph.part(Key::new(Class::Constraint, oid), key, target);
    }
    let mut parts = Vec::new();
    for check in checks {
        let check_key = Key::new(Class::Constraint, check.oid);
        if check.is_valid {
            let inline = format!("\n    CONSTRAINT {} {}", check.ident, check.definition);
            let alone = Some(Box::new(check.node(Phase::PreData)));
            let optional = Some(Optional { key: check_key, inline, alone });
            parts.push(Part { line: String::new(), optional, rest: String::new() });
            graph.part(check_key, key, check.target());
        } else {
            graph.add(check.node(Phase::UncheckedConstraints));
            graph.needs(check_key, key);
        }
    }
    Body::Parts { head, parts, tail: String::new(), list: List::Clauses }
}
