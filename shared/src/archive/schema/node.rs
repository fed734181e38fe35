//! One object on its way to SQL: a statement, or a list whose lines can still be taken out.

use super::{
    catalog::Key,
    statement::{ObjectKind, Phase, Statement},
};

/// One object with its SQL.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) key: Key,
    pub(super) kind: ObjectKind,
    pub(super) schema: Option<String>,
    pub(super) name: String,
    pub(super) phase: Phase,
    pub(super) table: Option<String>,
    /// How `COMMENT ON` and `ALTER … OWNER TO` name it: `TABLE shop.orders`.
    pub(super) target: String,
    pub(super) body: Body,
    /// Statements that follow directly.
    pub(super) more: Vec<String>,
}

/// How a node's main statement comes about.
#[derive(Debug, Clone)]
pub(super) enum Body {
    /// As it stands.
    Sql(String),
    /// `head` + the parts inside it + `tail`.
    Parts { head: String, parts: Vec<Part>, tail: String, list: List },
    /// A view: a stand-in with its columns and no rows, and the real thing.
    View { stub: String, sql: String, replace: String },
}

/// How parts are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    /// Columns: in parentheses, which are written even around nothing.
    Columns,
    /// What a table says beside its type: in parentheses, if there is anything.
    TypedColumns,
    /// One clause after the other.
    Clauses,
}

/// A line of a table or domain.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) line: String,
    /// What is added to the line, and can stand alone instead.
    pub(super) optional: Option<Optional>,
    /// What ends the line.
    pub(super) rest: String,
}

/// A default or check: inside its table by default, a statement of its own where the order asks for it.
#[derive(Debug, Clone)]
pub(super) struct Optional {
    pub(super) key: Key,
    pub(super) inline: String,
    /// None: it cannot stand alone (a generated column's expression).
    pub(super) alone: Option<Box<Node>>,
}

impl Node {
    pub(super) fn sql(&self) -> String {
        match &self.body {
            Body::Sql(sql) => sql.clone(),
            Body::View { sql, .. } => sql.clone(),
            Body::Parts { head, parts, tail, list } => {
                let lines: Vec<String> = parts
                    .iter()
                    .map(|part| {
                        let inline = part.optional.as_ref().map_or("", |o| o.inline.as_str());
                        format!("{}{inline}{}", part.line, part.rest)
                    })
                    .filter(|line| !line.is_empty())
                    .collect();
                match list {
                    List::Clauses => format!("{head}{}{tail}", lines.concat()),
                    List::TypedColumns if lines.is_empty() => format!("{head}{tail}"),
                    List::Columns if lines.is_empty() => format!("{head} (\n){tail}"),
                    _ => format!("{head} (\n    {}\n){tail}", lines.join(",\n    ")),
                }
            }
        }
    }

    /// What settles ties, so that the same database always gives the same order.
    pub(super) fn rank(&self) -> (Phase, ObjectKind, Option<&str>, &str, &str, Key) {
        // A domain's check must be there before a column holds the domain inside an array or row.
        let is_domain_check = self.kind == ObjectKind::Check && self.table.is_none();
        let kind = if is_domain_check { ObjectKind::Type } else { self.kind };
        (self.phase, kind, self.schema.as_deref(), &self.name, &self.target, self.key)
    }

    /// A statement of this node.
    pub(super) fn statement(&self, sql: String, after: Vec<usize>) -> Statement {
        Statement {
            kind: self.kind,
            schema: self.schema.clone(),
            name: self.name.clone(),
            phase: self.phase,
            table: self.table.clone(),
            after,
            sql,
        }
    }
}
