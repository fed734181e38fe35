//! Owners, privileges and default privileges, each guarded against roles that are not there.

use serde_json::Value;
use sqlx::{FromRow, PgConnection};

use super::{
    SchemaError,
    catalog::{Class, Key, rows},
    graph::Graph,
    ownership::{guarded, guarded_as},
    statement::{ObjectKind, Phase, Statement, Unsupported},
};

const OWNERS: &str = include_str!("sql/owners.sql");
const PRIVILEGES: &str = include_str!("sql/privileges.sql");
const DEFAULT_PRIVILEGES: &str = include_str!("sql/default_privileges.sql");

#[derive(Debug, FromRow)]
struct OwnerRow {
    class: String,
    oid: i64,
    role: String,
    role_ident: String,
}

#[derive(Debug, FromRow)]
struct PrivilegeRow {
    class: String,
    oid: i64,
    column_ident: Option<String>,
    target: String,
    is_system: bool,
    owner: String,
    privileges: Value,
    base: Value,
    every_privilege: Vec<String>,
}

#[derive(Debug, FromRow)]
struct DefaultPrivilegeRow {
    role: String,
    role_ident: String,
    schema: Option<String>,
    schema_ident: Option<String>,
    sort: Option<String>,
    privileges: Value,
    base: Value,
    every_privilege: Vec<String>,
}

/// What one grantor gave one grantee.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Grant {
    grantor: String,
    /// None is PUBLIC.
    grantee: Option<String>,
    privileges: Vec<String>,
    grantable: bool,
}

/// Reads who owns what was written, and who may do what with it: owners first, then privileges, then default
/// privileges, so that these touch nothing that is made here.
pub(super) async fn read_ownership(
    conn: &mut PgConnection,
    schemas: &[i64],
    graph: &mut Graph,
) -> Result<Vec<Statement>, SchemaError> {
    let mut statements = read_owners(conn, schemas, graph).await?;
    let found: Vec<PrivilegeRow> = rows(conn, "privileges", PRIVILEGES, schemas).await?;
    let mut system = Vec::new();
    for row in found {
        let key = Key::new(Class::of_catalog(&row.class), row.oid);
        if row.is_system {
            system.push(row.target);
        } else if graph.get(key).is_some() || matches!(key.class, Class::Language | Class::ForeignDataWrapper)
        {
            let on = format!("{} ", row.target);
            let node = graph.get(key);
            let schema = node.and_then(|node| node.schema.clone());
            let name = node.map_or_else(|| row.target.clone(), |node| node.name.clone());
            let grants = grants_of(&row.privileges);
            let base = grants_of(&row.base);
            let columns = row.column_ident.as_deref();
            for (roles, command) in difference(&grants, &base, &row.owner, &row.every_privilege, columns, &on)
            {
                statements.push(statement(ObjectKind::Grant, schema.clone(), &name, &roles, command));
            }
        }
    }
    if !system.is_empty() {
        graph.unsupported.push(Unsupported {
            kind: "privileges on system objects".into(),
            name: system.join(", "),
            why: "they differ from what a new database has; grant or revoke them by hand".into(),
        });
    }
    let found: Vec<DefaultPrivilegeRow> =
        rows(conn, "default privileges", DEFAULT_PRIVILEGES, schemas).await?;
    for row in found {
        let Some(sort) = &row.sort else { continue };
        let in_schema = row.schema_ident.as_ref().map(|s| format!(" IN SCHEMA {s}")).unwrap_or_default();
        let alter = format!("ALTER DEFAULT PRIVILEGES FOR ROLE {}{in_schema} ", row.role_ident);
        let grants = grants_of(&row.privileges);
        let base = grants_of(&row.base);
        for (mut roles, command) in difference(&grants, &base, &row.role, &row.every_privilege, None, sort) {
            if !roles.contains(&row.role) {
                roles.push(row.role.clone());
            }
            statements.push(statement(
                ObjectKind::DefaultPrivileges,
                row.schema.clone(),
                &row.role,
                &roles,
                Command { sql: format!("{alter}{}", command.sql), as_role: None },
            ));
        }
    }
    Ok(statements)
}

async fn read_owners(
    conn: &mut PgConnection,
    schemas: &[i64],
    graph: &Graph,
) -> Result<Vec<Statement>, SchemaError> {
    let owners: Vec<OwnerRow> = rows(conn, "owners", OWNERS, schemas).await?;
    let mut owned: Vec<(&super::node::Node, OwnerRow)> = owners
        .into_iter()
        .filter_map(|owner| {
            let key = Key::new(Class::of_catalog(&owner.class), owner.oid);
            // A column's sequence follows its table, and refuses an owner of its own.
            let follows = graph.has(Key::new(Class::OwnedBy, key.oid)) && key.class == Class::Relation;
            (graph.has(key) && !follows).then(|| graph.get(key).map(|node| (node, owner))).flatten()
        })
        .collect();
    owned.sort_by(|(a, _), (b, _)| {
        (a.kind, &a.schema, &a.name, &a.target).cmp(&(b.kind, &b.schema, &b.name, &b.target))
    });
    Ok(owned
        .into_iter()
        .map(|(node, owner)| {
            let sql = format!("ALTER {} OWNER TO {}", node.target, owner.role_ident);
            let command = Command { sql, as_role: None };
            statement(ObjectKind::Owner, node.schema.clone(), &node.name, &[owner.role], command)
        })
        .collect())
}

/// A command, and the role that it has to be run as if that is not the owner (a passed-on grant option).
struct Command {
    sql: String,
    as_role: Option<String>,
}

fn statement(
    kind: ObjectKind,
    schema: Option<String>,
    name: &str,
    roles: &[String],
    command: Command,
) -> Statement {
    let roles: Vec<&str> = roles.iter().map(String::as_str).collect();
    let sql = match command.as_role {
        None => guarded(&roles, &[command.sql]),
        Some(role) => guarded_as(&role, &roles, &[command.sql]),
    };
    Statement {
        kind,
        schema,
        name: name.into(),
        phase: Phase::Ownership,
        table: None,
        after: Vec::new(),
        sql,
    }
}

/// A role's name as an identifier; always in quotes, because it may be anything.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn grants_of(items: &Value) -> Vec<Grant> {
    let mut grants: Vec<Grant> = Vec::new();
    for item in items.as_array().into_iter().flatten() {
        let text = |at: usize| item[at].as_str().map(str::to_owned);
        let (Some(grantor), Some(privilege)) = (text(0), text(2)) else { continue };
        let (grantee, grantable) = (text(1), item[3].as_bool().unwrap_or(false));
        // One entry of an ACL may hold privileges with and without grant option.
        let same = |grant: &&mut Grant| {
            grant.grantor == grantor && grant.grantee == grantee && grant.grantable == grantable
        };
        match grants.iter_mut().rev().take(2).find(same) {
            Some(grant) => grant.privileges.push(privilege),
            None => grants.push(Grant { grantor, grantee, privileges: vec![privilege], grantable }),
        }
    }
    grants
}

/// The commands that lead from `base` to `grants`, each with the roles it names. Where `base` is the beginning
/// of `grants`, only the rest is granted; else all is revoked and granted anew, in order.
fn difference(
    grants: &[Grant],
    base: &[Grant],
    owner: &str,
    every_privilege: &[String],
    column: Option<&str>,
    on: &str,
) -> Vec<(Vec<String>, Command)> {
    let on = on.trim_end();
    let mut commands = Vec::new();
    let rest = match grants.strip_prefix(base) {
        Some(rest) => rest,
        None => {
            let mut revoked: Vec<&Option<String>> = Vec::new();
            for grant in base.iter().filter(|grant| grant.grantor == owner || grant.grantee.is_none()) {
                if revoked.contains(&&grant.grantee) {
                    continue;
                }
                revoked.push(&grant.grantee);
                let (roles, from) = role(&grant.grantee);
                let sql = format!("REVOKE ALL ON {on} FROM {from}");
                commands.push((roles, Command { sql, as_role: None }));
            }
            grants
        }
    };
    for grant in rest {
        let (mut roles, to) = role(&grant.grantee);
        let all = every_privilege.len() > 1
            && every_privilege.iter().all(|privilege| grant.privileges.contains(privilege));
        let columns = column.map(|column| format!(" ({column})")).unwrap_or_default();
        let whats: Vec<String> = if all && column.is_none() {
            vec!["ALL".to_owned()]
        } else {
            // The newest privilege apart, so that an older server skips that one alone.
            let (newest, known): (Vec<&String>, Vec<&String>) =
                grant.privileges.iter().partition(|privilege| *privilege == "MAINTAIN");
            [known, newest]
                .iter()
                .filter(|list| !list.is_empty())
                .map(|list| {
                    let list: Vec<String> =
                        list.iter().map(|privilege| format!("{privilege}{columns}")).collect();
                    list.join(", ")
                })
                .collect()
        };
        let option = if grant.grantable { " WITH GRANT OPTION" } else { "" };
        let as_role = (grant.grantor != owner).then(|| grant.grantor.clone());
        if let Some(grantor) = &as_role
            && !roles.contains(grantor)
        {
            roles.push(grantor.clone());
        }
        for what in whats {
            let sql = format!("GRANT {what} ON {on} TO {to}{option}");
            commands.push((roles.clone(), Command { sql, as_role: as_role.clone() }));
        }
    }
    commands
}

fn role(grantee: &Option<String>) -> (Vec<String>, String) {
    match grantee {
        Some(name) => (vec![name.clone()], quoted(name)),
        None => (Vec::new(), "PUBLIC".into()),
    }
}
