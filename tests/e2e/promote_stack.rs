//! What the tests of going live do the same way: a shop with a backup, copies of it, requests.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use stack::Stack;

use crate::archive_stack::{drop_database, execute, succeed};

/// What production is called.
pub fn production_of(stack: &Stack) -> String {
    stack.database_url.rsplit('/').next().unwrap().split('?').next().unwrap().to_owned()
}

/// Restores the newest full backup under a name.
pub async fn copy_of(stack: &Stack, name: &str) {
    let request = json!({"action": "backup_restore", "backup_id": "latest", "target_database": name});
    succeed(stack, "restore", request).await;
}

/// A request that changes something.
pub fn signed(mut request: Value) -> Value {
    let fields = request.as_object_mut().unwrap();
    fields.insert("dry_run".to_owned(), json!(false));
    fields.insert("actor".to_owned(), json!("ada"));
    fields.insert("reason".to_owned(), json!("a test"));
    request
}

/// A request with one field more.
pub fn with(mut request: Value, field: &str, value: Value) -> Value {
    request.as_object_mut().unwrap().insert(field.to_owned(), value);
    request
}

/// A promote of a copy.
pub fn promote(mode: &str, copy: &str) -> Value {
    json!({"action": "promote", "mode": mode, "target_database": copy})
}

/// One text from a database.
pub async fn text(url: &str, sql: &str) -> Option<String> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let found = sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    found
}

/// What production's row says which database it is.
pub async fn which(stack: &Stack) -> String {
    text(&stack.database_url, "SELECT name FROM public.which").await.unwrap()
}

/// Whether the server has a database of that name.
pub async fn exists(stack: &Stack, name: &str) -> bool {
    let sql = format!("SELECT count(*)::text FROM pg_database WHERE datname = '{name}'");
    text(stack.postgres.url(), &sql).await.as_deref() == Some("1")
}

/// The comment of a database.
pub async fn comment(stack: &Stack, name: &str) -> Option<String> {
    let sql =
        format!("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{name}'");
    text(stack.postgres.url(), &sql).await
}

/// Drops everything that promotes of this stack have left.
pub async fn tidy_up(stack: &Stack, copies: &[&str]) {
    let production = production_of(stack);
    let pattern = format!(
        "SELECT string_agg(datname, ',') FROM pg_database WHERE starts_with(datname, '{production}_')"
    );
    let beside = text(stack.postgres.url(), &pattern).await.unwrap_or_default();
    let names = beside.split(',').filter(|name| !name.is_empty()).chain(copies.iter().copied());
    for name in names {
        drop_database(stack, name).await;
    }
}

/// Runs a statement of the server in its maintenance database.
pub async fn on_server(stack: &Stack, sql: &str) {
    execute(stack.postgres.url(), sql).await;
}
