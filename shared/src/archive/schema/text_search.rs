//! What decides how text compares and is searched: collations, text search dictionaries and configurations.

use sqlx::{FromRow, PgConnection};

use super::{
    SchemaError,
    catalog::{Class, Key, literal, rows},
    graph::Graph,
    node::{Body, Node},
    statement::{ObjectKind, Phase},
};

const COLLATIONS: &str = include_str!("sql/collations.sql");
const TEXT_SEARCH: &str = include_str!("sql/text_search.sql");

#[derive(Debug, FromRow)]
struct CollationRow {
    oid: i64,
    schema: String,
    name: String,
    ident: String,
    provider: String,
    is_deterministic: bool,
    collate: Option<String>,
    ctype: Option<String>,
    locale: Option<String>,
    rules: Option<String>,
}

#[derive(Debug, FromRow)]
struct TextSearchRow {
    sort: String,
    oid: i64,
    schema: String,
    name: String,
    ident: String,
    base: String,
    options: Option<String>,
    mappings: Vec<String>,
}

/// Adds collations, dictionaries and configurations.
pub(super) async fn add_text_search(
    conn: &mut PgConnection,
    schemas: &[i64],
    graph: &mut Graph,
) -> Result<(), SchemaError> {
    let collations: Vec<CollationRow> = rows(conn, "collations", COLLATIONS, schemas).await?;
    for collation in collations {
        graph.add(Node {
            key: Key::new(Class::Collation, collation.oid),
            kind: ObjectKind::Collation,
            schema: Some(collation.schema.clone()),
            name: collation.name.clone(),
            phase: Phase::PreData,
            table: None,
            target: format!("COLLATION {}", collation.ident),
            body: Body::Sql(collation_sql(&collation)),
            more: Vec::new(),
        });
    }
    let found: Vec<TextSearchRow> = rows(conn, "text search objects", TEXT_SEARCH, schemas).await?;
    for row in found {
        let node = if row.sort == "dictionary" {
            let options = row.options.as_ref().map(|o| format!(", {o}")).unwrap_or_default();
            let target = format!("TEXT SEARCH DICTIONARY {}", row.ident);
            Node {
                key: Key::new(Class::TextDictionary, row.oid),
                kind: ObjectKind::TextSearchDictionary,
                schema: Some(row.schema),
                name: row.name,
                phase: Phase::PreData,
                table: None,
                body: Body::Sql(format!("CREATE {target} (TEMPLATE = {}{options})", row.base)),
                target,
                more: Vec::new(),
            }
        } else {
            let target = format!("TEXT SEARCH CONFIGURATION {}", row.ident);
            Node {
                key: Key::new(Class::TextConfiguration, row.oid),
                kind: ObjectKind::TextSearchConfiguration,
                schema: Some(row.schema),
                name: row.name,
                phase: Phase::PreData,
                table: None,
                body: Body::Sql(format!("CREATE {target} (PARSER = {})", row.base)),
                more: row
                    .mappings
                    .iter()
                    .map(|mapping| format!("ALTER {target} ADD MAPPING FOR {mapping}"))
                    .collect(),
                target,
            }
        };
        graph.add(node);
    }
    Ok(())
}

fn collation_sql(collation: &CollationRow) -> String {
    let provider = match collation.provider.as_str() {
        "i" => "icu",
        "b" => "builtin",
        _ => "libc",
    };
    let mut options = vec![format!("provider = {provider}")];
    if !collation.is_deterministic {
        options.push("deterministic = false".into());
    }
    // ICU kept its locale in collcollate up to 14; libc has one or two.
    match (&collation.locale, &collation.collate, &collation.ctype) {
        (Some(locale), _, _) => options.push(format!("locale = {}", literal(locale))),
        (None, Some(collate), Some(ctype)) if collate != ctype => {
            options.push(format!("lc_collate = {}, lc_ctype = {}", literal(collate), literal(ctype)));
        }
        (None, Some(collate), _) => options.push(format!("locale = {}", literal(collate))),
        _ => {}
    }
    if let Some(rules) = &collation.rules {
        options.push(format!("rules = {}", literal(rules)));
    }
    format!("CREATE COLLATION {} ({})", collation.ident, options.join(", "))
}
