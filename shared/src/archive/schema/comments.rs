//! Comments on whatever was made here, and on its parts.

use std::collections::HashMap;

use sqlx::{FromRow, PgConnection};

use super::{
    SchemaError,
    catalog::{Class, Key, literal, rows},
    graph::Graph,
    ownership::guarded,
    statement::{ObjectKind, Phase, Statement},
};

const COMMENTS: &str = include_str!("sql/comments.sql");

#[derive(Debug, FromRow)]
struct CommentRow {
    class: String,
    oid: i64,
    column_ident: Option<String>,
    text: String,
}

/// Comments by the object (or the whole) that they follow. Read after cycles are broken, because that moves
/// constraints out of their tables.
pub(super) async fn read_comments(
    conn: &mut PgConnection,
    schemas: &[i64],
    graph: &Graph,
) -> Result<HashMap<Key, Vec<Statement>>, SchemaError> {
    let mut comments: HashMap<Key, Vec<Statement>> = HashMap::new();
    let found: Vec<CommentRow> = rows(conn, "comments", COMMENTS, schemas).await?;
    for row in found {
        let key = Key::new(Class::of_catalog(&row.class), row.oid);
        let (Some(target), Some(node)) = (graph.target(key), graph.get(key)) else { continue };
        if key.class == Class::Namespace && row.text == "standard public schema" {
            continue;
        }
        let target = match &row.column_ident {
            // `TABLE shop.orders` -> `COLUMN shop.orders.total`, whatever sort of relation it is.
            Some(column) => {
                let relation = ["FOREIGN TABLE ", "MATERIALIZED VIEW ", "TABLE ", "VIEW ", "TYPE "]
                    .iter()
                    .find_map(|sort| target.strip_prefix(sort))
                    .unwrap_or(target);
                format!("COLUMN {relation}.{column}")
            }
            None => target.to_owned(),
        };
        let sql = format!("COMMENT ON {target} IS {}", literal(&row.text));
        // Only an owner comments; extensions and `public` may belong to whoever made the database.
        let not_ours = key.class == Class::Extension || target == "SCHEMA public";
        let may_be_absent = matches!(node.phase, Phase::Ownership | Phase::EventTriggers);
        let sql = if not_ours || may_be_absent { guarded(&[], &[sql]) } else { sql };
        comments.entry(node.key).or_default().push(Statement {
            kind: ObjectKind::Comment,
            schema: node.schema.clone(),
            name: node.name.clone(),
            phase: match node.phase {
                phase @ (Phase::PreData | Phase::EventTriggers | Phase::Ownership) => phase,
                _ => Phase::Comments,
            },
            table: node.table.clone(),
            after: Vec::new(),
            sql,
        });
    }
    Ok(comments)
}
