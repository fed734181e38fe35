//! Tables of every sort: ordinary, unlogged, typed, inherited, partitioned, partitions, foreign.

use std::collections::HashMap;

use sqlx::{FromRow, PgConnection};

use super::{
    SchemaError,
    catalog::{Class, Key, rows},
    columns::{COLUMNS, ColumnRow},
    constraints::ConstraintRow,
    graph::Graph,
    node::{Body, List, Node, Optional, Part},
    sequences::Identities,
    statement::{ObjectKind, Phase, Unsupported},
    views,
};

const TABLES: &str = include_str!("sql/tables.sql");

#[derive(Debug, FromRow)]
pub(super) struct TableRow {
    pub(super) oid: i64,
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) ident: String,
    pub(super) relkind: String,
    persistence: String,
    pub(super) is_partition: bool,
    pub(super) is_populated: bool,
    pub(super) of_type: Option<String>,
    partition_key: Option<String>,
    bound: Option<String>,
    pub(super) access_method: Option<String>,
    tablespace: Option<String>,
    pub(super) parents: Vec<String>,
    parent_oids: Vec<i64>,
    pub(super) options: Vec<String>,
    replica_identity: String,
    row_security: bool,
    force_row_security: bool,
    pub(super) query: Option<String>,
    server_ident: Option<String>,
    server_options: Vec<String>,
}

impl TableRow {
    /// A node of this relation's schema and name.
    pub(super) fn node(&self, key: Key, kind: ObjectKind, phase: Phase, target: String, body: Body) -> Node {
        Node {
            key,
            kind,
            schema: Some(self.schema.clone()),
            name: self.name.clone(),
            phase,
            table: Some(self.ident.clone()),
            target,
            body,
            more: Vec::new(),
        }
    }
}

/// Adds tables and views; `constraints` are the checks of all of them.
pub(super) async fn add_relations(
    conn: &mut PgConnection,
    schemas: &[i64],
    graph: &mut Graph,
    identities: &Identities,
    constraints: &[ConstraintRow],
) -> Result<Vec<TableRow>, SchemaError> {
    let tables: Vec<TableRow> = rows(conn, "tables", TABLES, schemas).await?;
    let columns: Vec<ColumnRow> = rows(conn, "columns", COLUMNS, schemas).await?;
    let mut columns_of: HashMap<i64, Vec<ColumnRow>> = HashMap::new();
    for column in columns {
        columns_of.entry(column.relation).or_default().push(column);
    }
    let mut checks_of: HashMap<i64, Vec<&ConstraintRow>> = HashMap::new();
    for check in constraints.iter().filter(|c| c.contype == "c" && c.relation != 0) {
        checks_of.entry(check.relation).or_default().push(check);
    }
    for table in &tables {
        let columns = columns_of.remove(&table.oid).unwrap_or_default();
        match table.relkind.as_str() {
            "v" | "m" => views::add_view(graph, table, &columns),
            _ => {
                let checks = checks_of.remove(&table.oid).unwrap_or_default();
                add_table(graph, table, &columns, identities, &checks);
            }
        }
        let identity = match table.replica_identity.as_str() {
            "n" => Some("NOTHING"),
            "f" => Some("FULL"),
            // By primary key, or by an index, which says so itself.
            _ => None,
        };
        if let Some(identity) = identity.filter(|_| matches!(table.relkind.as_str(), "r" | "p" | "m"))
            && let Some(node) = graph.get_mut(Key::relation(table.oid))
        {
            node.more.push(format!("ALTER TABLE ONLY {} REPLICA IDENTITY {identity}", table.ident));
        }
        if let Some(tablespace) = &table.tablespace {
            graph.unsupported.push(Unsupported {
                kind: "tablespace".into(),
                name: format!("{tablespace} of {}", table.ident),
                why: "tablespaces belong to a server; the table goes to the database's default".into(),
            });
        }
    }
    Ok(tables)
}

fn add_table(
    graph: &mut Graph,
    table: &TableRow,
    columns: &[ColumnRow],
    identities: &Identities,
    checks: &[&ConstraintRow],
) {
    let key = Key::relation(table.oid);
    let mut parts = Vec::new();
    let mut constraints = Vec::new();
    let mut more = Vec::new();
    for column in columns {
        let sql = column.sql(table, identities.get(&(table.oid, column.number)));
        parts.extend(sql.part);
        constraints.extend(sql.constraints);
        more.extend(sql.more);
        if let (Some(oid), Some(ident)) = (column.not_null_oid, &column.not_null_ident) {
            let target = format!("CONSTRAINT {ident} ON {}", table.ident);
            graph.part(Key::new(Class::Constraint, oid), key, target);
        }
        for node in sql.apart {
            graph.needs(node.key, key);
            graph.add(node);
        }
    }
    for check in checks {
        let check_key = Key::new(Class::Constraint, check.oid);
        if check.is_valid && (check.is_local || table.is_partition) {
            let inline = format!("CONSTRAINT {} {}", check.ident, check.definition);
            let alone = Some(Box::new(check.node(Phase::PreData)));
            constraints.push(Part {
                line: String::new(),
                optional: Some(Optional { key: check_key, inline, alone }),
                rest: String::new(),
            });
            graph.part(check_key, key, check.target());
        } else if check.is_local {
            // Existing rows may break it, so it comes after them.
            graph.add(check.node(Phase::UncheckedConstraints));
            graph.needs(check_key, key);
        } else {
            graph.part(check_key, key, check.target());
        }
    }
    parts.extend(constraints);

    let sort = match (table.relkind.as_str(), table.persistence.as_str()) {
        ("f", _) => "FOREIGN TABLE",
        (_, "u") => "UNLOGGED TABLE",
        _ => "TABLE",
    };
    let mut head = format!("CREATE {sort} {}", table.ident);
    let mut list = List::Columns;
    if let Some(of_type) = &table.of_type {
        head.push_str(&format!(" OF {of_type}"));
        list = List::TypedColumns;
    }
    let target = if table.relkind == "f" { "FOREIGN TABLE" } else { "TABLE" };
    let body = Body::Parts { head, parts, tail: table_tail(table), list };
    let mut node =
        table.node(key, ObjectKind::Table, Phase::PreData, format!("{target} {}", table.ident), body);
    node.more = more;
    graph.add(node);
    if table.is_partition {
        add_attachment(graph, table, checks);
    }
    if table.row_security || table.force_row_security {
        add_row_security(graph, table);
    }
}

fn table_tail(table: &TableRow) -> String {
    let mut tail = String::new();
    if !table.is_partition && !table.parents.is_empty() {
        tail.push_str(&format!("\nINHERITS ({})", table.parents.join(", ")));
    }
    if let Some(partition_key) = &table.partition_key {
        tail.push_str(&format!("\nPARTITION BY {partition_key}"));
    }
    if let Some(method) = &table.access_method {
        tail.push_str(&format!("\nUSING {method}"));
    }
    if let Some(server) = &table.server_ident {
        tail.push_str(&format!("\nSERVER {server}"));
        if !table.server_options.is_empty() {
            tail.push_str(&format!("\nOPTIONS ({})", table.server_options.join(", ")));
        }
    }
    if !table.options.is_empty() {
        tail.push_str(&format!("\nWITH ({})", table.options.join(", ")));
    }
    tail
}

/// A partition is made alone, with its own order of columns, and then attached.
fn add_attachment(graph: &mut Graph, table: &TableRow, checks: &[&ConstraintRow]) {
    let (Some(parent), Some(parent_oid), Some(bound)) =
        (table.parents.first(), table.parent_oids.first(), &table.bound)
    else {
        return;
    };
    let key = Key::new(Class::Attachment, table.oid);
    let sql = format!("ALTER TABLE ONLY {parent} ATTACH PARTITION {} {bound}", table.ident);
    graph.add(table.node(
        key,
        ObjectKind::Attachment,
        Phase::PreData,
        format!("TABLE {}", table.ident),
        Body::Sql(sql),
    ));
    graph.needs(key, Key::relation(table.oid));
    graph.needs(key, Key::relation(*parent_oid));
    // Attaching asks for every check of the parent on the child.
    for check in checks {
        graph.needs(key, Key::new(Class::Constraint, check.oid));
    }
}

fn add_row_security(graph: &mut Graph, table: &TableRow) {
    let key = Key::new(Class::RowSecurity, table.oid);
    let mut clauses = Vec::new();
    if table.row_security {
        clauses.push("ENABLE ROW LEVEL SECURITY");
    }
    if table.force_row_security {
        clauses.push("FORCE ROW LEVEL SECURITY");
    }
    let sql = format!("ALTER TABLE {} {}", table.ident, clauses.join(", "));
    graph.add(table.node(
        key,
        ObjectKind::RowSecurity,
        Phase::Triggers,
        format!("TABLE {}", table.ident),
        Body::Sql(sql),
    ));
    graph.needs(key, Key::relation(table.oid));
}
