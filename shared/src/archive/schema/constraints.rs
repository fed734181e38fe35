//! Constraints: checks of tables and domains, keys, exclusions and foreign keys.

use sqlx::{FromRow, PgConnection};

use super::{
    SchemaError,
    catalog::{Class, Key, rows},
    graph::Graph,
    node::{Body, Node},
    statement::{ObjectKind, Phase},
};

const CONSTRAINTS: &str = include_str!("sql/constraints.sql");

#[derive(Debug, FromRow)]
pub(super) struct ConstraintRow {
    pub(super) oid: i64,
    name: String,
    pub(super) ident: String,
    /// `c`heck, `p`rimary key, `u`nique, e`x`clusion, `f`oreign key.
    pub(super) contype: String,
    /// The table, or 0.
    pub(super) relation: i64,
    /// The domain, or 0.
    pub(super) domain: i64,
    /// The index of a key, or the one a foreign key points to.
    pub(super) index: i64,
    relkind: Option<String>,
    schema: String,
    owner_name: String,
    owner_ident: String,
    pub(super) is_local: bool,
    pub(super) is_valid: bool,
    pub(super) definition: String,
}

/// Reads every constraint of the selection but the NOT NULLs, which come with the columns.
pub(super) async fn read_constraints(
    conn: &mut PgConnection,
    schemas: &[i64],
) -> Result<Vec<ConstraintRow>, SchemaError> {
    rows(conn, "constraints", CONSTRAINTS, schemas).await
}

impl ConstraintRow {
    /// How `COMMENT ON` names it.
    pub(super) fn target(&self) -> String {
        let domain = if self.domain == 0 { "" } else { "DOMAIN " };
        format!("CONSTRAINT {} ON {domain}{}", self.ident, self.owner_ident)
    }

    /// The constraint as a statement of its own.
    pub(super) fn node(&self, phase: Phase) -> Node {
        // A check reaches the children of its table, and a foreign key cannot leave out partitions; a key is made
        // for this table alone, because each partition's key is attached to its parent's.
        let (kind, only) = match (self.contype.as_str(), self.relkind.as_deref()) {
            ("c", _) => (ObjectKind::Check, ""),
            ("f", Some("p")) => (ObjectKind::ForeignKey, ""),
            ("f", _) => (ObjectKind::ForeignKey, "ONLY "),
            _ => (ObjectKind::Key, "ONLY "),
        };
        let alter = if self.domain == 0 { format!("TABLE {only}") } else { "DOMAIN ".into() };
        Node {
            key: Key::new(Class::Constraint, self.oid),
            kind,
            schema: Some(self.schema.clone()),
            name: format!("{}.{}", self.owner_name, self.name),
            phase,
            table: (self.domain == 0).then(|| self.owner_ident.clone()),
            target: self.target(),
            body: Body::Sql(format!(
                "ALTER {alter}{} ADD CONSTRAINT {} {}",
                self.owner_ident, self.ident, self.definition
            )),
            more: Vec::new(),
        }
    }
}

/// Adds what is made after the data: keys (with their indexes' oids) and foreign keys.
pub(super) fn add_keys(graph: &mut Graph, constraints: &[ConstraintRow]) {
    for constraint in constraints.iter().filter(|c| graph_has_table(graph, c)).collect::<Vec<_>>() {
        let key = Key::new(Class::Constraint, constraint.oid);
        match constraint.contype.as_str() {
            "p" | "u" | "x" => {
                graph.add(constraint.node(Phase::Indexes));
                graph.alias(Key::relation(constraint.index), key);
            }
            "f" => graph.add(constraint.node(Phase::ForeignKeys)),
            _ => continue,
        }
        graph.needs(key, Key::relation(constraint.relation));
    }
}

fn graph_has_table(graph: &Graph, constraint: &ConstraintRow) -> bool {
    graph.has(Key::relation(constraint.relation))
}
