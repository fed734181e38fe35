//! What watches over tables: triggers, rules, policies; and extended statistics.

use sqlx::{FromRow, PgConnection};

use super::{
    SchemaError,
    catalog::{Class, Key, rows},
    graph::Graph,
    node::{Body, Node},
    ownership::guarded,
    statement::{ObjectKind, Phase},
};

const TRIGGERS: &str = include_str!("sql/triggers.sql");
const RULES: &str = include_str!("sql/rules.sql");
const POLICIES: &str = include_str!("sql/policies.sql");
const STATISTICS: &str = include_str!("sql/statistics.sql");

#[derive(Debug, FromRow)]
struct TriggerRow {
    oid: i64,
    name: String,
    ident: String,
    relation: i64,
    schema: String,
    table_name: String,
    table_ident: String,
    relkind: String,
    state: String,
    is_clone: bool,
    definition: String,
}

#[derive(Debug, FromRow)]
struct RuleRow {
    oid: i64,
    name: String,
    ident: String,
    relation: i64,
    schema: String,
    table_name: String,
    table_ident: String,
    is_view: bool,
    state: String,
    definition: Option<String>,
}

#[derive(Debug, FromRow)]
struct PolicyRow {
    oid: i64,
    name: String,
    ident: String,
    relation: i64,
    schema: String,
    table_name: String,
    table_ident: String,
    is_permissive: bool,
    command: String,
    roles: Vec<String>,
    role_idents: Vec<String>,
    is_public: bool,
    using_expr: Option<String>,
    check_expr: Option<String>,
}

#[derive(Debug, FromRow)]
struct StatisticsRow {
    oid: i64,
    schema: String,
    name: String,
    ident: String,
    table_ident: String,
    definition: String,
    target: Option<i32>,
}

/// `pg_trigger.tgenabled` and `pg_rewrite.ev_enabled`, as `ALTER TABLE` says it.
pub(super) fn state_verb(state: &str) -> &'static str {
    match state {
        "D" => "DISABLE",
        "R" => "ENABLE REPLICA",
        "A" => "ENABLE ALWAYS",
        _ => "ENABLE",
    }
}

/// Adds triggers, rules, policies and extended statistics of the tables in the graph.
pub(super) async fn add_watchers(
    conn: &mut PgConnection,
    schemas: &[i64],
    graph: &mut Graph,
) -> Result<(), SchemaError> {
    let triggers: Vec<TriggerRow> = rows(conn, "triggers", TRIGGERS, schemas).await?;
    for trigger in triggers {
        add_trigger(graph, &trigger);
    }
    let rules: Vec<RuleRow> = rows(conn, "rules", RULES, schemas).await?;
    for rule in rules {
        add_rule(graph, &rule);
    }
    let policies: Vec<PolicyRow> = rows(conn, "policies", POLICIES, schemas).await?;
    for policy in
        policies.iter().filter(|policy| graph.has(Key::relation(policy.relation))).collect::<Vec<_>>()
    {
        add_policy(graph, policy);
    }
    let statistics: Vec<StatisticsRow> = rows(conn, "statistics", STATISTICS, schemas).await?;
    for row in statistics {
        let more = row.target.map(|target| format!("ALTER STATISTICS {} SET STATISTICS {target}", row.ident));
        graph.add(Node {
            key: Key::new(Class::Statistics, row.oid),
            kind: ObjectKind::Statistics,
            schema: Some(row.schema),
            name: row.name,
            phase: Phase::Triggers,
            table: Some(row.table_ident),
            target: format!("STATISTICS {}", row.ident),
            body: Body::Sql(row.definition),
            more: more.into_iter().collect(),
        });
    }
    Ok(())
}

fn add_trigger(graph: &mut Graph, trigger: &TriggerRow) {
    if !graph.has(Key::relation(trigger.relation)) {
        return;
    }
    let key = Key::new(Class::Trigger, trigger.oid);
    let sort = if trigger.relkind == "f" { "FOREIGN TABLE" } else { "TABLE" };
    let alter = format!(
        "ALTER {sort} {} {} TRIGGER {}",
        trigger.table_ident,
        state_verb(&trigger.state),
        trigger.ident
    );
    // A clone is made with its parent's trigger; only its state is its own.
    let (sql, more) = match (trigger.is_clone, trigger.state.as_str()) {
        (true, _) => (alter, Vec::new()),
        (false, "O") => (trigger.definition.clone(), Vec::new()),
        (false, _) => (trigger.definition.clone(), vec![alter]),
    };
    let phase = if trigger.is_clone { Phase::Comments } else { Phase::Triggers };
    graph.add(Node {
        key,
        kind: ObjectKind::Trigger,
        schema: Some(trigger.schema.clone()),
        name: format!("{}.{}", trigger.table_name, trigger.name),
        phase,
        table: Some(trigger.table_ident.clone()),
        target: format!("TRIGGER {} ON {}", trigger.ident, trigger.table_ident),
        body: Body::Sql(sql),
        more,
    });
    graph.needs(key, Key::relation(trigger.relation));
}

fn add_rule(graph: &mut Graph, rule: &RuleRow) {
    let key = Key::new(Class::Rewrite, rule.oid);
    let relation = Key::relation(rule.relation);
    if !graph.has(relation) {
        return;
    }
    if rule.is_view {
        graph.part(key, relation, format!("RULE {} ON {}", rule.ident, rule.table_ident));
        return;
    }
    let definition = rule.definition.as_deref().unwrap_or_default();
    let more = (rule.state != "O")
        .then(|| format!("ALTER TABLE {} {} RULE {}", rule.table_ident, state_verb(&rule.state), rule.ident));
    graph.add(Node {
        key,
        kind: ObjectKind::Rule,
        schema: Some(rule.schema.clone()),
        name: format!("{}.{}", rule.table_name, rule.name),
        phase: Phase::Triggers,
        table: Some(rule.table_ident.clone()),
        target: format!("RULE {} ON {}", rule.ident, rule.table_ident),
        body: Body::Sql(definition.trim_end().trim_end_matches(';').to_owned()),
        more: more.into_iter().collect(),
    });
    graph.needs(key, relation);
}

fn add_policy(graph: &mut Graph, policy: &PolicyRow) {
    let mut sql = format!("CREATE POLICY {} ON {}", policy.ident, policy.table_ident);
    if !policy.is_permissive {
        sql.push_str(" AS RESTRICTIVE");
    }
    match policy.command.as_str() {
        "r" => sql.push_str(" FOR SELECT"),
        "a" => sql.push_str(" FOR INSERT"),
        "w" => sql.push_str(" FOR UPDATE"),
        "d" => sql.push_str(" FOR DELETE"),
        _ => {}
    }
    if !policy.is_public {
        sql.push_str(&format!(" TO {}", policy.role_idents.join(", ")));
    }
    if let Some(expr) = &policy.using_expr {
        sql.push_str(&format!(" USING ({expr})"));
    }
    if let Some(expr) = &policy.check_expr {
        sql.push_str(&format!(" WITH CHECK ({expr})"));
    }
    // A policy for roles that are not there cannot be made, and must not become one for everybody: with row
    // security on, no policy means no access.
    let (phase, sql) = if policy.is_public {
        (Phase::Triggers, sql)
    } else {
        let roles: Vec<&str> = policy.roles.iter().map(String::as_str).collect();
        (Phase::Ownership, guarded(&roles, &[sql]))
    };
    let key = Key::new(Class::Policy, policy.oid);
    graph.add(Node {
        key,
        kind: ObjectKind::Policy,
        schema: Some(policy.schema.clone()),
        name: format!("{}.{}", policy.table_name, policy.name),
        phase,
        table: Some(policy.table_ident.clone()),
        target: format!("POLICY {} ON {}", policy.ident, policy.table_ident),
        body: Body::Sql(sql),
        more: Vec::new(),
    });
    graph.needs(key, Key::relation(policy.relation));
}
