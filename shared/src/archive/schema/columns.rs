//! Columns: the lines of a table, and what must be said of them afterwards.

use sqlx::FromRow;

use super::{
    catalog::{Class, Key},
    node::{Body, Node, Optional, Part},
    sequences::SequenceRow,
    statement::{ObjectKind, Phase},
    tables::TableRow,
};

pub(super) const COLUMNS: &str = include_str!("sql/columns.sql");

#[derive(Debug, FromRow)]
pub(super) struct ColumnRow {
    pub(super) relation: i64,
    pub(super) number: i32,
    pub(super) name: String,
    pub(super) ident: String,
    pub(super) type_name: String,
    collation: Option<String>,
    not_null: bool,
    is_local: bool,
    pub(super) generated: String,
    identity: String,
    default_oid: Option<i64>,
    default_expr: Option<String>,
    storage: Option<String>,
    compression: Option<String>,
    statistics: Option<i32>,
    options: Vec<String>,
    fdw_options: Vec<String>,
    parent_has_default: bool,
    parent_same_generated: bool,
    parent_defaults_conflict: bool,
    parent_not_null: bool,
    parent_not_null_unchecked: bool,
    pub(super) not_null_oid: Option<i64>,
    pub(super) not_null_name: Option<String>,
    pub(super) not_null_ident: Option<String>,
    not_null_local: Option<bool>,
    not_null_no_inherit: Option<bool>,
    not_null_valid: Option<bool>,
}

/// What one column adds to its table.
#[derive(Default)]
pub(super) struct ColumnSql {
    /// Its line in `CREATE TABLE`, if it has one.
    pub(super) part: Option<Part>,
    /// Table constraints, for a column that has no line.
    pub(super) constraints: Vec<Part>,
    /// `ALTER TABLE` statements that follow directly.
    pub(super) more: Vec<String>,
    /// Statements that stand alone: a default, a constraint that the data need not satisfy.
    pub(super) apart: Vec<Node>,
}

impl ColumnRow {
    /// `NULL::type` under the column's name, for a view that is made before its query can be.
    pub(super) fn stand_in(&self) -> String {
        let collate = self.collation.as_ref().map(|c| format!(" COLLATE {c}")).unwrap_or_default();
        format!("NULL::{}{collate} AS {}", self.type_name, self.ident)
    }

    /// The default as a statement of its own; views have only this form.
    pub(super) fn default_node(&self, table: &TableRow) -> Option<Node> {
        let expr = self.default_expr.as_ref()?;
        Some(Node {
            key: Key::new(Class::Default, self.default_oid?),
            kind: ObjectKind::Default,
            schema: Some(table.schema.clone()),
            name: format!("{}.{}", table.name, self.name),
            phase: Phase::PreData,
            table: Some(table.ident.clone()),
            target: format!("COLUMN {}.{}", table.ident, self.ident),
            body: Body::Sql(format!(
                "ALTER TABLE ONLY {} ALTER COLUMN {} SET DEFAULT {expr}",
                table.ident, self.ident
            )),
            more: Vec::new(),
        })
    }

    /// All that a table says about this column.
    pub(super) fn sql(&self, table: &TableRow, identity: Option<&SequenceRow>) -> ColumnSql {
        let mut sql = ColumnSql::default();
        let inherits = !table.is_partition && !table.parents.is_empty();
        let inherits_expression = inherits && self.parent_same_generated;
        let own_expression = !self.generated.is_empty() && !inherits_expression;
        // Postgres refuses a child of two parents with different defaults unless the child says which.
        let says_which = inherits && self.parent_defaults_conflict && self.generated.is_empty();
        let is_printed = self.is_local || table.is_partition || own_expression || says_which;
        let alter = format!("ALTER TABLE ONLY {} ALTER COLUMN {}", table.ident, self.ident);

        let mut optional = None;
        if let (Some(expr), Some(oid)) = (&self.default_expr, self.default_oid) {
            let key = Key::new(Class::Default, oid);
            match self.generated.as_str() {
                "" if is_printed => {
                    let inline = format!(" DEFAULT {expr}");
                    let alone = self.default_node(table).map(Box::new);
                    optional = Some(Optional { key, inline, alone });
                }
                "" => sql.apart.extend(self.default_node(table)),
                _ if own_expression => {
                    let how = if self.generated == "v" { "VIRTUAL" } else { "STORED" };
                    let inline = format!(" GENERATED ALWAYS AS ({expr}) {how}");
                    optional = Some(Optional { key, inline, alone: None });
                }
                _ => {}
            }
        } else if inherits && self.parent_has_default {
            sql.more.push(format!("{alter} DROP DEFAULT"));
        }
        let defaults_to_null = says_which && self.default_expr.is_none();

        let mut rest = if defaults_to_null { " DEFAULT NULL".into() } else { String::new() };
        if let Some(sequence) = identity {
            let how = if self.identity == "a" { "ALWAYS" } else { "BY DEFAULT" };
            rest.push_str(&format!(" GENERATED {how} AS IDENTITY ({})", sequence.identity_options()));
            sql.more.extend(sequence.persistence_fix());
        }
        self.not_null(table, is_printed, &mut rest, &mut sql);

        if is_printed {
            let mut line = self.ident.clone();
            if table.of_type.is_some() {
                line.push_str(" WITH OPTIONS");
            } else {
                line = format!("{line} {}", self.type_name);
                if !self.fdw_options.is_empty() {
                    line.push_str(&format!(" OPTIONS ({})", self.fdw_options.join(", ")));
                }
                if let Some(collation) = &self.collation {
                    line.push_str(&format!(" COLLATE {collation}"));
                }
            }
            // A typed table's columns come from the type; a line is for what the type does not say.
            if table.of_type.is_none() || optional.is_some() || !rest.is_empty() {
                sql.part = Some(Part { line, optional, rest });
            }
        }
        self.settings(&alter, &mut sql.more);
        sql
    }

    /// Since Postgres 18 a NOT NULL is a constraint with a name, a validity and an origin of its own.
    fn not_null(&self, table: &TableRow, is_printed: bool, rest: &mut String, sql: &mut ColumnSql) {
        let (Some(oid), Some(ident), Some(name)) =
            (self.not_null_oid, &self.not_null_ident, &self.not_null_name)
        else {
            let is_own = self.not_null && (!self.parent_not_null || table.is_partition);
            match (is_own, is_printed) {
                (true, true) => rest.push_str(" NOT NULL"),
                (true, false) => sql.more.push(format!(
                    "ALTER TABLE ONLY {} ALTER COLUMN {} SET NOT NULL",
                    table.ident, self.ident
                )),
                _ => {}
            }
            return;
        };
        // A child may have checked what its parent has not; only what is said of the child itself keeps that.
        let is_local = self.not_null_local == Some(true)
            || self.parent_not_null_unchecked && self.not_null_valid == Some(true);
        let no_inherit = if self.not_null_no_inherit == Some(true) { " NO INHERIT" } else { "" };
        if self.not_null_valid == Some(false) {
            if is_local {
                sql.apart.push(Node {
                    key: Key::new(Class::Constraint, oid),
                    kind: ObjectKind::Check,
                    schema: Some(table.schema.clone()),
                    name: format!("{}.{name}", table.name),
                    phase: Phase::UncheckedConstraints,
                    table: Some(table.ident.clone()),
                    target: format!("CONSTRAINT {ident} ON {}", table.ident),
                    body: Body::Sql(format!(
                        "ALTER TABLE {} ADD CONSTRAINT {ident} NOT NULL {}{no_inherit} NOT VALID",
                        table.ident, self.ident
                    )),
                    more: Vec::new(),
                });
            }
            return;
        }
        if !is_local && !table.is_partition {
            return;
        }
        let has_usual_name = *name == format!("{}_{}_not_null", table.name, self.name);
        if !is_printed && has_usual_name && no_inherit.is_empty() {
            // Understood by older servers too.
            sql.more
                .push(format!("ALTER TABLE ONLY {} ALTER COLUMN {} SET NOT NULL", table.ident, self.ident));
        } else if is_printed {
            if !has_usual_name {
                rest.push_str(&format!(" CONSTRAINT {ident}"));
            }
            rest.push_str(&format!(" NOT NULL{no_inherit}"));
        } else {
            let line = format!("CONSTRAINT {ident} NOT NULL {}{no_inherit}", self.ident);
            sql.constraints.push(Part { line, optional: None, rest: String::new() });
        }
    }

    fn settings(&self, alter: &str, more: &mut Vec<String>) {
        if let Some(target) = self.statistics {
            more.push(format!("{alter} SET STATISTICS {target}"));
        }
        if let Some(storage) = self.storage.as_deref().and_then(storage_name) {
            more.push(format!("{alter} SET STORAGE {storage}"));
        }
        if let Some(method) = self.compression.as_deref().and_then(compression_name) {
            more.push(format!("{alter} SET COMPRESSION {method}"));
        }
        if !self.options.is_empty() {
            more.push(format!("{alter} SET ({})", self.options.join(", ")));
        }
    }
}

/// `pg_attribute.attstorage`.
fn storage_name(code: &str) -> Option<&'static str> {
    match code {
        "p" => Some("PLAIN"),
        "e" => Some("EXTERNAL"),
        "m" => Some("MAIN"),
        "x" => Some("EXTENDED"),
        _ => None,
    }
}

/// `pg_attribute.attcompression`.
fn compression_name(code: &str) -> Option<&'static str> {
    match code {
        "p" => Some("pglz"),
        "l" => Some("lz4"),
        _ => None,
    }
}
