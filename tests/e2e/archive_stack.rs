//! The stack as the archive's tests use it, and the outside judge of what came back.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use stack::gate::{Gate, Stop};
use stack::lambda::{FunctionConfig, Reply};
use stack::store_gate::StoreGate;
use stack::{Stack, StackBuilder};

/// The functions under test, on a database with our migrations.
pub fn archive_stack() -> StackBuilder {
    Stack::builder().functions(["backup", "verify", "restore"])
}

/// A gate between the backup function and the store.
pub fn gate_before_store(stack: &Stack) -> StoreGate {
    gate_before_store_of(stack, "backup")
}

/// The same before another function's store.
pub fn gate_before_store_of(stack: &Stack, function: &str) -> StoreGate {
    let gate = StoreGate::before(stack.s3.endpoint()).unwrap();
    let change = |config: &mut FunctionConfig| {
        config.environment.insert("AWS_ENDPOINT_URL_S3".to_owned(), gate.endpoint().to_owned());
    };
    stack.lambda.configure(function, change).unwrap();
    gate
}

/// A gate between the functions and the database's server, for those that have not asked for its secret yet.
pub async fn gate_before_database(stack: &Stack) -> Gate {
    let gate = Gate::start(&stack.database_url).await.unwrap();
    stack.secrets.put("database", &json!({"url": gate.url()})).await.unwrap();
    gate
}

/// Invokes, and kills the function when the server has got a statement with this text from it.
pub async fn killed_at(stack: &Stack, gate: &Gate, function: &str, payload: &Value, statement: &str) {
    gate.arm_at(statement, Stop::Hold);
    let invoked = stack.invoke(function, payload.clone());
    tokio::pin!(invoked);
    tokio::select! {
        reply = &mut invoked => panic!("no {statement}: {}", reply.unwrap().payload),
        _ = gate.stopped() => assert!(stack.lambda.kill(function).unwrap() > 0, "{statement}"),
    }
    let reply = invoked.await.unwrap();
    assert!(reply.function_error.is_some(), "{statement}: {}", reply.payload);
    gate.disarm();
}

/// Which restore fills the database, as its comment tells.
pub async fn restore_of(stack: &Stack, copy: &str) -> String {
    let comment =
        format!("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{copy}'");
    let comment = texts(stack.postgres.url(), &comment).await.remove(0);
    comment.split_once(", restore ").unwrap().1.split(',').next().unwrap().to_owned()
}

/// The payload of an invocation that must succeed.
pub async fn succeed(stack: &Stack, function: &str, payload: Value) -> Value {
    let reply = stack.invoke(function, payload).await.unwrap();
    assert_eq!(reply.function_error, None, "{function}: {}\n{}", reply.payload, reply.log_tail);
    reply.payload
}

/// The error type and message of an invocation that must fail.
pub async fn fail(stack: &Stack, function: &str, payload: Value) -> (String, String) {
    let Reply { function_error, payload, .. } = stack.invoke(function, payload).await.unwrap();
    assert!(function_error.is_some(), "{function} answered {payload}");
    let text = |field: &str| payload[field].as_str().unwrap().to_owned();
    (text("errorType"), text("errorMessage"))
}

/// A full backup's reply.
pub async fn full_backup(stack: &Stack) -> Value {
    succeed(stack, "backup", json!({"backup_type": "full"})).await
}

/// The name in a reply, or in a list's entry.
pub fn id_of(backup: &Value) -> String {
    backup["backup_id"].as_str().unwrap().to_owned()
}

/// Runs statements on a connection of their own.
pub async fn execute(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Puts in every kind of value and of name that a backup carries.
pub async fn every_kind_of_value(stack: &Stack) {
    let values = include_str!("schemas/values.sql");
    // Many rows are the business of other tests.
    let few = values.replace("generate_series(1, 300000)", "generate_series(1, 3000)");
    assert_ne!(values, few);
    for sql in [include_str!("schemas/awkward.sql"), include_str!("schemas/names.sql"), &few] {
        execute(&stack.database_url, sql).await;
    }
}

/// Names of the databases that look like a restore's.
pub async fn databases_like(stack: &Stack, pattern: &str) -> Vec<String> {
    let mut connection = PgConnection::connect(stack.postgres.url()).await.unwrap();
    sqlx::query_scalar("SELECT datname::text FROM pg_database WHERE datname LIKE $1 ORDER BY 1")
        .bind(pattern)
        .fetch_all(&mut connection)
        .await
        .unwrap()
}

/// Drops a database, whoever is connected to it.
pub async fn drop_database(stack: &Stack, database: &str) {
    execute(stack.postgres.url(), &format!("DROP DATABASE IF EXISTS \"{database}\" WITH (FORCE)")).await;
}

/// Restores a backup under a new name; gives the reply and the copy's URL.
pub async fn restore_copy(stack: &Stack, backup_id: &str) -> (Value, String) {
    let copy = target("part");
    let request = json!({"action": "backup_restore", "backup_id": backup_id, "target_database": copy});
    let restored = succeed(stack, "restore", request).await;
    (restored, stack.postgres.url_of(&copy))
}

/// Drops what [`restore_copy`] made.
pub async fn drop_copy(stack: &Stack, restored: &Value) {
    drop_database(stack, restored["target_database"].as_str().unwrap()).await;
}

/// One column of text, sorted by bytes.
pub async fn texts(url: &str, sql: &str) -> Vec<String> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let mut found: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    found.sort_unstable();
    found
}

/// The rows of a table for which a condition holds, each as text, in order.
pub async fn rows_where(url: &str, table: &str, condition: &str) -> Vec<String> {
    texts(url, &format!("SELECT t::text FROM ONLY {table} AS t WHERE {condition}")).await
}

/// The tables of a reply, with their rows.
pub fn row_counts(reply: &Value) -> Vec<(String, u64)> {
    let tables = reply["tables"].as_array().unwrap().iter();
    tables
        .map(|table| (table["table"].as_str().unwrap().to_owned(), table["rows"].as_u64().unwrap()))
        .collect()
}

/// A name for a restored database that no other test on a shared server has.
pub fn target(what: &str) -> String {
    format!("recoup_test_{what}_{:08x}", rand::random::<u32>())
}

/// `pg_dump`'s output with the rows of each table sorted and without what differs between two runs.
pub async fn dump(stack: &Stack, url: &str) -> String {
    dump_with(stack, url, &[]).await
}

/// The same with options of `pg_dump`.
pub async fn dump_with(stack: &Stack, url: &str, options: &[&str]) -> String {
    // What belongs to one history of one database, and comes back empty.
    let of_one_history =
        ["--exclude-table-data=recoup.row_changes", "--exclude-table-data=recoup.change_segments"];
    let text = stack.postgres.pg_dump(url, &[options, &of_one_history].concat()).await.unwrap();
    let mut dump = String::new();
    let mut rows: Option<Vec<&str>> = None;
    for line in
        text.lines().filter(|line| !line.starts_with("\\restrict ") && !line.starts_with("\\unrestrict "))
    {
        match rows.take() {
            Some(mut sorted) if line == "\\." => {
                sorted.sort_unstable();
                sorted.push(line);
                dump.push_str(&sorted.join("\n"));
                dump.push('\n');
            }
            Some(mut unsorted) => {
                unsorted.push(line);
                rows = Some(unsorted);
            }
            None => {
                rows = (line.starts_with("COPY ") && line.ends_with(" FROM stdin;")).then(Vec::new);
                dump.push_str(line);
                dump.push('\n');
            }
        }
    }
    dump
}

/// Shows where two dumps part.
pub fn assert_same_dump(expected: &str, found: &str) {
    if expected == found {
        return;
    }
    let first = expected.lines().zip(found.lines()).find(|(one, other)| one != other);
    let cut = |line: &str| line.chars().take(300).collect::<String>();
    panic!("pg_dump differs, first at {:?}", first.map(|(one, other)| (cut(one), cut(other))));
}
