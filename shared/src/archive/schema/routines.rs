//! Functions, procedures and aggregates.

use serde_json::Value;
use sqlx::{FromRow, PgConnection};

use super::{
    SchemaError,
    catalog::{Class, Key, literal, rows},
    graph::Graph,
    node::{Body, Node},
    statement::{ObjectKind, Phase},
};

const ROUTINES: &str = include_str!("sql/routines.sql");

#[derive(Debug, FromRow)]
struct RoutineRow {
    oid: i64,
    schema: String,
    name: String,
    prokind: String,
    ident: String,
    arguments: String,
    definition: Option<String>,
    parallel: String,
    /// The row of `pg_aggregate`; functions appear by name.
    aggregate: Option<Value>,
    state_type: Option<String>,
    moving_state_type: Option<String>,
    sort_operator: Option<String>,
}

/// Adds every routine. Bodies are not checked while they are made (`check_function_bodies`): only what Postgres
/// itself tracks (types, defaults, SQL-standard bodies) decides their place.
pub(super) async fn add_routines(
    conn: &mut PgConnection,
    schemas: &[i64],
    graph: &mut Graph,
) -> Result<(), SchemaError> {
    let routines: Vec<RoutineRow> = rows(conn, "functions", ROUTINES, schemas).await?;
    for routine in routines {
        let (kind, sort) = match routine.prokind.as_str() {
            "a" => (ObjectKind::Aggregate, "AGGREGATE"),
            "p" => (ObjectKind::Routine, "PROCEDURE"),
            _ => (ObjectKind::Routine, "FUNCTION"),
        };
        let mut arguments = routine.arguments.clone();
        if routine.prokind == "a" && arguments.is_empty() {
            arguments.push('*');
        }
        let signature = format!("{}({arguments})", routine.ident);
        let sql = match &routine.definition {
            Some(definition) => definition.trim_end().to_owned(),
            None => aggregate_sql(&routine, &signature),
        };
        graph.add(Node {
            key: Key::new(Class::Proc, routine.oid),
            kind,
            schema: Some(routine.schema.clone()),
            name: routine.name.clone(),
            phase: Phase::PreData,
            table: None,
            target: format!("{sort} {signature}"),
            body: Body::Sql(sql),
            more: Vec::new(),
        });
    }
    Ok(())
}

fn aggregate_sql(routine: &RoutineRow, signature: &str) -> String {
    let row = routine.aggregate.as_ref().unwrap_or(&Value::Null);
    let text = |column: &str| row[column].as_str().map(str::to_owned);
    // With an empty search_path a function's name comes qualified; `-` is none.
    let function = |column: &str| text(column).filter(|name| name != "-");
    let number = |column: &str| row[column].as_i64().filter(|n| *n != 0).map(|n| n.to_string());
    let quoted = |column: &str| text(column).map(|value| literal(&value));
    let flag = |column: &str| row[column].as_bool().unwrap_or(false);
    let ordered = text("aggkind").is_some_and(|kind| kind != "n");
    // The default way to treat the state differs between plain and ordered-set aggregates.
    let modify = |column: &str| {
        let usual = if ordered { "w" } else { "r" };
        text(column).filter(|how| how != usual).map(|how| {
            match how.as_str() {
                "s" => "SHAREABLE",
                "w" => "READ_WRITE",
                _ => "READ_ONLY",
            }
            .to_owned()
        })
    };
    let parallel = match routine.parallel.as_str() {
        "s" => Some("SAFE".to_owned()),
        "r" => Some("RESTRICTED".to_owned()),
        _ => None,
    };
    let moving = routine.moving_state_type.is_some();
    let options = [
        ("SFUNC", function("aggtransfn")),
        ("STYPE", routine.state_type.clone()),
        ("SSPACE", number("aggtransspace")),
        ("FINALFUNC", function("aggfinalfn")),
        ("FINALFUNC_MODIFY", function("aggfinalfn").and_then(|_| modify("aggfinalmodify"))),
        ("COMBINEFUNC", function("aggcombinefn")),
        ("SERIALFUNC", function("aggserialfn")),
        ("DESERIALFUNC", function("aggdeserialfn")),
        ("INITCOND", quoted("agginitval")),
        ("MSFUNC", function("aggmtransfn")),
        ("MINVFUNC", function("aggminvtransfn")),
        ("MSTYPE", routine.moving_state_type.clone()),
        ("MSSPACE", number("aggmtransspace")),
        ("MFINALFUNC", function("aggmfinalfn")),
        ("MFINALFUNC_MODIFY", function("aggmfinalfn").and_then(|_| modify("aggmfinalmodify"))),
        ("MINITCOND", quoted("aggminitval").filter(|_| moving)),
        ("SORTOP", routine.sort_operator.clone()),
        ("PARALLEL", parallel),
    ];
    let mut lines: Vec<String> = options
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| format!("{name} = {value}")))
        .collect();
    let flags = [
        ("FINALFUNC_EXTRA", flag("aggfinalextra")),
        ("MFINALFUNC_EXTRA", flag("aggmfinalextra")),
        ("HYPOTHETICAL", text("aggkind").as_deref() == Some("h")),
    ];
    lines.extend(flags.iter().filter(|(_, set)| *set).map(|(name, _)| (*name).to_owned()));
    format!("CREATE AGGREGATE {signature} (\n    {}\n)", lines.join(",\n    "))
}
