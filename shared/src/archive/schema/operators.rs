//! Operators, their families and classes, and casts.

use std::collections::HashMap;

use sqlx::{FromRow, PgConnection};

use super::{
    SchemaError,
    catalog::{Class, Key, rows},
    graph::Graph,
    node::{Body, Node},
    statement::{ObjectKind, Phase},
};

const OPERATORS: &str = include_str!("sql/operators.sql");
const FAMILIES: &str = include_str!("sql/operator_families.sql");
const MEMBERS: &str = include_str!("sql/operator_members.sql");
const CASTS: &str = include_str!("sql/casts.sql");

#[derive(Debug, FromRow)]
struct OperatorRow {
    oid: i64,
    schema: String,
    name: String,
    ident: String,
    function: String,
    left_type: Option<String>,
    right_type: Option<String>,
    commutator: Option<String>,
    negator: Option<String>,
    restrict: Option<String>,
    join: Option<String>,
    hashes: bool,
    merges: bool,
}

#[derive(Debug, FromRow)]
struct FamilyRow {
    oid: i64,
    /// Of a class: the family it belongs to. 0 for a family.
    family: i64,
    schema: String,
    name: String,
    ident: String,
    method: String,
    family_ident: Option<String>,
    input_type: Option<String>,
    key_type: Option<String>,
    is_default: bool,
}

#[derive(Debug, FromRow)]
struct MemberRow {
    owner_class: String,
    owner: i64,
    member_class: String,
    member_oid: i64,
    clause: String,
}

#[derive(Debug, FromRow)]
struct CastRow {
    oid: i64,
    source: String,
    target: String,
    function: Option<String>,
    method: String,
    context: String,
}

fn node(key: Key, kind: ObjectKind, schema: Option<&str>, name: &str, target: String, sql: String) -> Node {
    Node {
        key,
        kind,
        schema: schema.map(str::to_owned),
        name: name.into(),
        phase: Phase::PreData,
        table: None,
        target,
        body: Body::Sql(sql),
        more: Vec::new(),
    }
}

/// Adds operators, families, classes and casts.
pub(super) async fn add_operators(
    conn: &mut PgConnection,
    schemas: &[i64],
    graph: &mut Graph,
) -> Result<(), SchemaError> {
    let operators: Vec<OperatorRow> = rows(conn, "operators", OPERATORS, schemas).await?;
    for operator in &operators {
        graph.add(operator.node());
    }
    let members: Vec<MemberRow> = rows(conn, "operator class members", MEMBERS, schemas).await?;
    let mut members_of: HashMap<Key, Vec<String>> = HashMap::new();
    for member in members {
        let owner = Key::new(Class::of_catalog(&member.owner_class), member.owner);
        graph.alias(Key::new(Class::of_catalog(&member.member_class), member.member_oid), owner);
        members_of.entry(owner).or_default().push(member.clause);
    }
    let families: Vec<FamilyRow> = rows(conn, "operator classes", FAMILIES, schemas).await?;
    for family in &families {
        let class = if family.family == 0 { Class::Opfamily } else { Class::Opclass };
        let members = members_of.remove(&Key::new(class, family.oid)).unwrap_or_default();
        graph.add(family.node(members));
    }
    let casts: Vec<CastRow> = rows(conn, "casts", CASTS, schemas).await?;
    for cast in casts {
        let signature = format!("({} AS {})", cast.source, cast.target);
        let how = match (&cast.function, cast.method.as_str()) {
            (Some(function), _) => format!("WITH FUNCTION {function}"),
            (None, "i") => "WITH INOUT".into(),
            (None, _) => "WITHOUT FUNCTION".into(),
        };
        let when = match cast.context.as_str() {
            "a" => " AS ASSIGNMENT",
            "i" => " AS IMPLICIT",
            _ => "",
        };
        let key = Key::new(Class::Cast, cast.oid);
        let sql = format!("CREATE CAST {signature} {how}{when}");
        graph.add(node(key, ObjectKind::Cast, None, &signature, format!("CAST {signature}"), sql));
    }
    Ok(())
}

impl OperatorRow {
    /// A commutator or negator may not exist yet: Postgres then makes a shell for it, which its own definition
    /// fills.
    fn node(&self) -> Node {
        let options = [
            ("LEFTARG", &self.left_type),
            ("RIGHTARG", &self.right_type),
            ("COMMUTATOR", &self.commutator),
            ("NEGATOR", &self.negator),
            ("RESTRICT", &self.restrict),
            ("JOIN", &self.join),
        ];
        let mut lines = vec![format!("FUNCTION = {}", self.function)];
        lines.extend(
            options
                .iter()
                .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name} = {value}"))),
        );
        let flags = [("HASHES", self.hashes), ("MERGES", self.merges)];
        lines.extend(flags.iter().filter(|(_, set)| *set).map(|(name, _)| (*name).to_owned()));
        let side = |operand: &Option<String>| operand.clone().unwrap_or_else(|| "NONE".into());
        node(
            Key::new(Class::Operator, self.oid),
            ObjectKind::Operator,
            Some(&self.schema),
            &self.name,
            format!("OPERATOR {} ({}, {})", self.ident, side(&self.left_type), side(&self.right_type)),
            format!("CREATE OPERATOR {} (\n    {}\n)", self.ident, lines.join(",\n    ")),
        )
    }
}

impl FamilyRow {
    fn node(&self, members: Vec<String>) -> Node {
        let Some(input) = &self.input_type else {
            let target = format!("OPERATOR FAMILY {} USING {}", self.ident, self.method);
            let more =
                (!members.is_empty()).then(|| format!("ALTER {target} ADD\n    {}", members.join(",\n    ")));
            return Node {
                more: more.into_iter().collect(),
                ..node(
                    Key::new(Class::Opfamily, self.oid),
                    ObjectKind::OperatorFamily,
                    Some(&self.schema),
                    &self.name,
                    target.clone(),
                    format!("CREATE {target}"),
                )
            };
        };
        let default = if self.is_default { "DEFAULT " } else { "" };
        let family = self.family_ident.as_deref().unwrap_or_default();
        let mut lines: Vec<String> = self.key_type.iter().map(|key| format!("STORAGE {key}")).collect();
        lines.extend(members);
        if lines.is_empty() {
            // Every class has at least one clause; storage of its own type says nothing new.
            lines.push(format!("STORAGE {input}"));
        }
        node(
            Key::new(Class::Opclass, self.oid),
            ObjectKind::OperatorClass,
            Some(&self.schema),
            &self.name,
            format!("OPERATOR CLASS {} USING {}", self.ident, self.method),
            format!(
                "CREATE OPERATOR CLASS {} {default}FOR TYPE {input} USING {} FAMILY {family} AS\n    {}",
                self.ident,
                self.method,
                lines.join(",\n    ")
            ),
        )
    }
}
