//! Indexes, those of keys included, and their place in a partition tree.

use sqlx::{FromRow, PgConnection};

use super::{
    SchemaError,
    catalog::{Class, Key, rows},
    graph::Graph,
    node::{Body, Node},
    statement::{ObjectKind, Phase, Unsupported},
};

const INDEXES: &str = include_str!("sql/indexes.sql");

#[derive(Debug, FromRow)]
struct IndexRow {
    oid: i64,
    relation: i64,
    schema: String,
    name: String,
    ident: String,
    short_ident: String,
    table_name: String,
    table_ident: String,
    table_kind: String,
    is_valid: bool,
    is_clustered: bool,
    is_replica_identity: bool,
    definition: String,
    tablespace: Option<String>,
    options: Vec<String>,
    statistics: Vec<String>,
    parent: Option<i64>,
    parent_ident: Option<String>,
}

/// Adds indexes, and what a key's constraint does not say about its index. Runs after keys and refreshes are in.
pub(super) async fn add_indexes(
    conn: &mut PgConnection,
    schemas: &[i64],
    graph: &mut Graph,
) -> Result<(), SchemaError> {
    let indexes: Vec<IndexRow> = rows(conn, "indexes", INDEXES, schemas).await?;
    for index in indexes.iter().filter(|index| graph.has(Key::relation(index.relation))).collect::<Vec<_>>() {
        let key = Key::relation(index.oid);
        if !index.is_valid && index.table_kind != "p" {
            // What a failed CREATE INDEX CONCURRENTLY leaves behind.
            graph.refuse(
                key,
                Unsupported {
                    kind: "invalid index".into(),
                    name: index.ident.clone(),
                    why: "it is not valid in the source; drop it there or make it again".into(),
                },
            );
            continue;
        }
        if graph.get(key).is_some() {
            // The index of a key: the constraint's definition leaves its storage options out.
            let target = format!("INDEX {}", index.ident);
            graph.name_part(key, target);
            if !index.options.is_empty() {
                let sql = format!("ALTER INDEX {} SET ({})", index.ident, index.options.join(", "));
                graph.get_mut(key).into_iter().for_each(|node| node.more.push(sql.clone()));
            }
        } else {
            add_index(graph, index, key);
        }
        let more = index.more();
        graph.get_mut(key).into_iter().for_each(|node| node.more.extend(more.clone()));
        add_attachment(graph, index, key);
        if let Some(tablespace) = &index.tablespace {
            graph.unsupported.push(Unsupported {
                kind: "tablespace".into(),
                name: format!("{tablespace} of {}", index.ident),
                why: "tablespaces belong to a server; the index goes to the database's default".into(),
            });
        }
    }
    Ok(())
}

impl IndexRow {
    fn node(&self, key: Key, kind: ObjectKind, phase: Phase, sql: String) -> Node {
        Node {
            key,
            kind,
            schema: Some(self.schema.clone()),
            name: format!("{}.{}", self.table_name, self.name),
            phase,
            table: Some(self.table_ident.clone()),
            target: format!("INDEX {}", self.ident),
            body: Body::Sql(sql),
            more: Vec::new(),
        }
    }

    fn more(&self) -> Vec<String> {
        let mut more: Vec<String> = self
            .statistics
            .iter()
            .map(|statistics| format!("ALTER INDEX {} ALTER COLUMN {statistics}", self.ident))
            .collect();
        if self.is_clustered {
            more.push(format!("ALTER TABLE {} CLUSTER ON {}", self.table_ident, self.short_ident));
        }
        if self.is_replica_identity {
            more.push(format!(
                "ALTER TABLE ONLY {} REPLICA IDENTITY USING INDEX {}",
                self.table_ident, self.short_ident
            ));
        }
        more
    }
}

fn add_index(graph: &mut Graph, index: &IndexRow, key: Key) {
    let refresh = Key::new(Class::Refresh, index.relation);
    // An index of a materialised view is built once its rows are there.
    let phase = if graph.has(refresh) { Phase::MaterializedViews } else { Phase::Indexes };
    graph.add(index.node(key, ObjectKind::Index, phase, index.definition.clone()));
    graph.needs(key, Key::relation(index.relation));
    graph.needs(key, refresh);
}

fn add_attachment(graph: &mut Graph, index: &IndexRow, key: Key) {
    let (Some(parent), Some(parent_ident)) = (index.parent, &index.parent_ident) else { return };
    let attachment = Key::new(Class::Attachment, index.oid);
    let sql = format!("ALTER INDEX {parent_ident} ATTACH PARTITION {}", index.ident);
    graph.add(index.node(attachment, ObjectKind::Attachment, Phase::IndexAttachments, sql));
    graph.needs(attachment, key);
    graph.needs(attachment, Key::relation(parent));
}
