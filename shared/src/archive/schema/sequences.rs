//! Sequences: free ones, those of serial columns, and the options of identity columns.

use std::collections::{BTreeSet, HashMap};

use sqlx::{FromRow, PgConnection};

use super::{
    SchemaError,
    catalog::{Class, Key, rows},
    graph::Graph,
    node::{Body, Node},
    statement::{ObjectKind, Phase},
};

const SEQUENCES: &str = include_str!("sql/sequences.sql");

#[derive(Debug, FromRow)]
pub(super) struct SequenceRow {
    oid: i64,
    schema: String,
    name: String,
    ident: String,
    persistence: String,
    type_name: String,
    start: i64,
    increment: i64,
    minimum: i64,
    maximum: i64,
    cache: i64,
    cycle: bool,
    owner_relation: Option<i64>,
    owner_column: Option<i32>,
    owner_ident: Option<String>,
    owner_column_ident: Option<String>,
    owner_persistence: Option<String>,
    is_identity: bool,
}

/// The sequences of identity columns, by table and column number.
pub(super) type Identities = HashMap<(i64, i32), SequenceRow>;

/// Oids of the sequences that the graph makes, with a column or alone.
pub(super) fn made(graph: &Graph, identities: &Identities) -> BTreeSet<i64> {
    let alone = graph.nodes().iter().filter(|node| node.kind == ObjectKind::Sequence).map(|node| node.key);
    let with_column = identities.values().map(|sequence| Key::relation(sequence.oid));
    alone.chain(with_column).filter(|key| graph.get(*key).is_some()).map(|key| key.oid).collect()
}

impl SequenceRow {
    fn options(&self) -> String {
        format!(
            "START WITH {} INCREMENT BY {} MINVALUE {} MAXVALUE {} CACHE {}{}",
            self.start,
            self.increment,
            self.minimum,
            self.maximum,
            self.cache,
            if self.cycle { " CYCLE" } else { "" }
        )
    }

    /// What stands in the parentheses of `GENERATED … AS IDENTITY (…)`.
    pub(super) fn identity_options(&self) -> String {
        format!("SEQUENCE NAME {} {}", self.ident, self.options())
    }

    /// A sequence takes its table's persistence when it is made; since Postgres 15 it may have its own.
    pub(super) fn persistence_fix(&self) -> Option<String> {
        let owner = self.owner_persistence.as_ref()?;
        if *owner == self.persistence {
            return None;
        }
        let how = if self.persistence == "u" { "UNLOGGED" } else { "LOGGED" };
        Some(format!("ALTER SEQUENCE {} SET {how}", self.ident))
    }

    fn node(&self, key: Key, body: String) -> Node {
        Node {
            key,
            kind: ObjectKind::Sequence,
            schema: Some(self.schema.clone()),
            name: self.name.clone(),
            phase: Phase::PreData,
            table: None,
            target: format!("SEQUENCE {}", self.ident),
            body: Body::Sql(body),
            more: Vec::new(),
        }
    }
}

/// Adds every sequence that is not an identity column's, and returns those that are.
pub(super) async fn add_sequences(
    conn: &mut PgConnection,
    schemas: &[i64],
    graph: &mut Graph,
) -> Result<Identities, SchemaError> {
    let mut identities = Identities::new();
    let found: Vec<SequenceRow> = rows(conn, "sequences", SEQUENCES, schemas).await?;
    for sequence in found {
        let key = Key::relation(sequence.oid);
        if let (true, Some(table), Some(column)) =
            (sequence.is_identity, sequence.owner_relation, sequence.owner_column)
        {
            graph.part(key, Key::relation(table), format!("SEQUENCE {}", sequence.ident));
            identities.insert((table, column), sequence);
            continue;
        }
        let unlogged = if sequence.persistence == "u" { "UNLOGGED " } else { "" };
        // The default type is left out, as a person would.
        let of_type = match sequence.type_name.as_str() {
            "bigint" => String::new(),
            other => format!(" AS {other}"),
        };
        let sql = format!("CREATE {unlogged}SEQUENCE {}{of_type} {}", sequence.ident, sequence.options());
        graph.add(sequence.node(key, sql));
        if let (Some(table), Some(owner), Some(column)) =
            (sequence.owner_relation, &sequence.owner_ident, &sequence.owner_column_ident)
        {
            let owned = Key::new(Class::OwnedBy, sequence.oid);
            let sql = format!("ALTER SEQUENCE {} OWNED BY {owner}.{column}", sequence.ident);
            graph.add(Node { kind: ObjectKind::Default, ..sequence.node(owned, sql) });
            graph.needs(owned, key);
            graph.needs(owned, Key::relation(table));
        }
    }
    Ok(identities)
}
