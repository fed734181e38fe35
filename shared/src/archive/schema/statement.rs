//! What reading a definition gives: statements in the order in which they can be run.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

/// The sort of object that a statement makes or changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// A schema.
    Schema,
    /// An extension; its members come with it.
    Extension,
    /// A collation.
    Collation,
    /// An enum, composite, range or domain.
    Type,
    /// A function, procedure or window function.
    Routine,
    /// An aggregate function.
    Aggregate,
    /// An operator.
    Operator,
    /// An operator family.
    OperatorFamily,
    /// An operator class.
    OperatorClass,
    /// A cast.
    Cast,
    /// A text search dictionary.
    TextSearchDictionary,
    /// A text search configuration.
    TextSearchConfiguration,
    /// A foreign server, without user mappings (they hold passwords).
    ForeignServer,
    /// A sequence.
    Sequence,
    /// A table: ordinary, partitioned, partition or foreign.
    Table,
    /// A view.
    View,
    /// A materialised view, or its data.
    MaterializedView,
    /// A column's default that stands apart from its table.
    Default,
    /// A check constraint that stands apart from its table or domain.
    Check,
    /// The tie between a partition, or its index, and the parent's.
    Attachment,
    /// An index.
    Index,
    /// A primary key, unique or exclusion constraint.
    Key,
    /// A foreign key.
    ForeignKey,
    /// Extended statistics.
    Statistics,
    /// A trigger.
    Trigger,
    /// A rule that is not a view's.
    Rule,
    /// A row security policy.
    Policy,
    /// Row security of a table, switched on or forced.
    RowSecurity,
    /// An event trigger.
    EventTrigger,
    /// A comment.
    Comment,
    /// Who owns an object.
    Owner,
    /// Privileges on an object.
    Grant,
    /// Privileges that objects get when they are made.
    DefaultPrivileges,
}

/// When a statement is run. All of one phase ends before the next begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Before the data: in the order given, one after another.
    PreData,
    /// Indexes, primary keys, unique and exclusion constraints.
    Indexes,
    /// Partitions' indexes attached to their parents'.
    IndexAttachments,
    /// Constraints that the data need not satisfy (`NOT VALID`, `NOT ENFORCED`).
    UncheckedConstraints,
    /// Views and routines that need a primary key, and what needs them.
    DependentDefinitions,
    /// Foreign keys.
    ForeignKeys,
    /// Materialised views filled, and their indexes.
    MaterializedViews,
    /// Triggers, rules, policies and row security.
    Triggers,
    /// Comments on what was made after the data.
    Comments,
    /// Event triggers, which would see everything made after them.
    EventTriggers,
    /// Owners, grants and default privileges: each skips, with a notice, a role that is not there.
    Ownership,
}

/// One object's SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The sort of object.
    pub kind: ObjectKind,
    /// Its schema, unquoted; none for what lives in no schema.
    pub schema: Option<String>,
    /// Its name, unquoted and without the schema. What belongs to a table is `table.name`.
    pub name: String,
    /// When to run it.
    pub phase: Phase,
    /// The table that it works on and locks, quoted and qualified: two statements on one table gain nothing from
    /// running at the same time.
    pub table: Option<String>,
    /// Positions, in the same list, of the statements of the same phase that must have ended before this one. Empty
    /// before the data, where order is all.
    pub after: Vec<usize>,
    /// The SQL, without a final semicolon.
    pub sql: String,
}

/// Something that the database has and the statements do not bring back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Unsupported {
    /// The sort of thing, in Postgres's words.
    pub kind: String,
    /// Which one.
    pub name: String,
    /// What is not brought back, and why.
    pub why: String,
}

/// A database's definition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchemaDump {
    /// What must exist before the data, in order.
    pub pre_data: Vec<Statement>,
    /// What is made once the data is there, by phase; see [`Statement::after`].
    pub post_data: Vec<Statement>,
    /// Owners and privileges, last: these need roles that the target may not have.
    pub ownership: Vec<Statement>,
    /// What the statements leave out, by name. Empty means that nothing is left out.
    pub unsupported: Vec<Unsupported>,
    /// Oids of the sequences that the statements make, those of identity columns among them.
    pub sequences: BTreeSet<i64>,
}

/// Begins the part of `schema.sql` that is run before the data.
pub const PRE_DATA_MARKER: &str = "-- recoup: pre-data";
/// Begins the part that is run after the data.
pub const POST_DATA_MARKER: &str = "-- recoup: post-data";
/// Begins the part with owners and privileges.
pub const OWNERSHIP_MARKER: &str = "-- recoup: ownership";

/// The settings that the statements are written for. A session that runs any of them sets these first.
pub const SETTINGS: &str = "\
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
SELECT pg_catalog.set_config('search_path', '', false);
";

impl SchemaDump {
    /// The whole definition as a file for `psql -v ON_ERROR_STOP=1` and an empty database. Each of its three
    /// parts begins with its marker and the settings it needs, so that a part cut out at its marker runs alone.
    pub fn to_sql(&self) -> String {
        let mut sql = String::new();
        let parts = [
            (PRE_DATA_MARKER, &self.pre_data),
            (POST_DATA_MARKER, &self.post_data),
            (OWNERSHIP_MARKER, &self.ownership),
        ];
        for (marker, statements) in parts {
            let _ = write!(sql, "{marker}\n\n{SETTINGS}");
            if marker == OWNERSHIP_MARKER {
                sql.push_str("SET client_min_messages = notice;\n");
            }
            sql.push('\n');
            for statement in statements {
                let _ = write!(sql, "{statement}\n\n");
            }
        }
        if !self.unsupported.is_empty() {
            sql.push_str("-- Not in this file:\n");
        }
        for missing in &self.unsupported {
            let line = format!("{} {}: {}", missing.kind, missing.name, missing.why);
            let _ = writeln!(sql, "--   {}", line.replace(['\n', '\r'], " "));
        }
        sql
    }
}

impl fmt::Display for Statement {
    /// The SQL with its semicolon, as it stands in a file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};", self.sql)
    }
}
