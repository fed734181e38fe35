//! Objects of the whole database that need more than ordinary rights: foreign servers and event triggers.

use sqlx::{FromRow, PgConnection};

use super::{
    SchemaError,
    catalog::{Class, Key, literal, rows},
    graph::Graph,
    node::{Body, Node},
    ownership::guarded,
    statement::{ObjectKind, Phase},
};

const SERVERS: &str = include_str!("sql/servers.sql");
const EVENT_TRIGGERS: &str = include_str!("sql/event_triggers.sql");

#[derive(Debug, FromRow)]
struct ServerRow {
    oid: i64,
    name: String,
    ident: String,
    wrapper: String,
    server_type: Option<String>,
    server_version: Option<String>,
    options: Vec<String>,
}

#[derive(Debug, FromRow)]
struct EventTriggerRow {
    oid: i64,
    name: String,
    ident: String,
    event: String,
    state: String,
    function: String,
    tags: String,
}

/// Adds foreign servers and event triggers.
pub(super) async fn add_servers(
    conn: &mut PgConnection,
    schemas: &[i64],
    graph: &mut Graph,
) -> Result<(), SchemaError> {
    let servers: Vec<ServerRow> = rows(conn, "foreign servers", SERVERS, schemas).await?;
    for server in servers {
        let mut sql = format!("CREATE SERVER {}", server.ident);
        if let Some(sort) = &server.server_type {
            sql.push_str(&format!(" TYPE {}", literal(sort)));
        }
        if let Some(version) = &server.server_version {
            sql.push_str(&format!(" VERSION {}", literal(version)));
        }
        sql.push_str(&format!(" FOREIGN DATA WRAPPER {}", server.wrapper));
        if !server.options.is_empty() {
            sql.push_str(&format!(" OPTIONS ({})", server.options.join(", ")));
        }
        graph.add(Node {
            key: Key::new(Class::ForeignServer, server.oid),
            kind: ObjectKind::ForeignServer,
            schema: None,
            name: server.name,
            phase: Phase::PreData,
            table: None,
            target: format!("SERVER {}", server.ident),
            body: Body::Sql(sql),
            more: Vec::new(),
        });
    }
    let triggers: Vec<EventTriggerRow> = rows(conn, "event triggers", EVENT_TRIGGERS, schemas).await?;
    for trigger in triggers {
        let tags = match trigger.tags.as_str() {
            "" => String::new(),
            tags => format!(" WHEN TAG IN ({tags})"),
        };
        let mut commands = vec![format!(
            "CREATE EVENT TRIGGER {} ON {}{tags} EXECUTE FUNCTION {}()",
            trigger.ident, trigger.event, trigger.function
        )];
        if trigger.state != "O" {
            let verb = super::triggers::state_verb(&trigger.state);
            commands.push(format!("ALTER EVENT TRIGGER {} {verb}", trigger.ident));
        }
        graph.add(Node {
            key: Key::new(Class::EventTrigger, trigger.oid),
            kind: ObjectKind::EventTrigger,
            schema: None,
            name: trigger.name,
            phase: Phase::EventTriggers,
            table: None,
            target: format!("EVENT TRIGGER {}", trigger.ident),
            // Only a superuser makes one; without that right a restore still goes through.
            body: Body::Sql(guarded(&[], &commands)),
            more: Vec::new(),
        });
    }
    Ok(())
}
