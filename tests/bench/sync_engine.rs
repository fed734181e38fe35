//! The receiver in use that recoup is compared with: npm's `@stripe/sync-engine`, as one Node process behind HTTP,
//! on a database of its own on the same server (sync_engine.mjs). It keeps the newest state of each object, without
//! the event and without effects.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use stack::Stack;
use stack::postgres::Database;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, Command};

use crate::Result;
use crate::load::Client;
use crate::wire::Connection;

const PACKAGE: &str = "@stripe/sync-engine";
const VERSION: &str = "1.0.32";
/// Installing takes seconds, its migrations one or two; on a busy machine more.
const INSTALL_PATIENCE: Duration = Duration::from_secs(300);
const START_PATIENCE: Duration = Duration::from_secs(60);

/// The running receiver. It ends when this is dropped, and its database with it.
pub struct SyncEngine {
    /// What runs, in words.
    pub words: String,
    port: u16,
    rows: String,
    pool: PgPool,
    // The process ends before the database is dropped.
    _child: Child,
    _stdin: ChildStdin,
    _database: Database,
}

impl SyncEngine {
    /// Installs it unless a run before has, applies its migrations to a new database, and starts it with a connection
    /// to Postgres for each client. `objects` are one of each kind of object that it will have to store.
    pub async fn start(stack: &Stack, clients: usize, objects: &[Value]) -> Result<SyncEngine> {
        let folder = install().await?;
        let database = stack.postgres.empty_database().await?;
        let mut child = Command::new("node")
            .arg("receiver.mjs")
            .current_dir(&folder)
            .env("NODE_ENV", "production")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("node can't be run: {error}"))?;
        let mut stdin = child.stdin.take().ok_or("node has no standard input")?;
        let orders = json!({
            "databaseUrl": database.url(), "webhookSecret": stack.webhook_secret,
            "connections": clients, "objects": objects,
        });
        stdin.write_all(format!("{orders}\n").as_bytes()).await?;
        let stdout = child.stdout.take().ok_or("node has no standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(START_PATIENCE, lines.next_line()).await??;
        let ready: Value = serde_json::from_str(&line.ok_or("the receiver ended; see its message above")?)?;
        let port = u16::try_from(ready["port"].as_u64().unwrap_or_default())?;
        let words = format!(
            "{PACKAGE} {VERSION}, one Node {} process behind HTTP, pg {} with {clients} connections",
            ready["node"].as_str().unwrap_or_default(),
            ready["pg"].as_str().unwrap_or_default(),
        );
        let pool = PgPool::connect(database.url()).await?;
        let tables = sqlx::query_scalar::<_, String>(
            "select format('select count(*) from %s', oid::regclass) from pg_class
            where relnamespace = 'stripe'::regnamespace and relname = any($1)",
        )
        .bind(["customers", "payment_intents", "charges", "checkout_sessions", "refunds"])
        .fetch_all(&pool)
        .await?;
        let rows = format!("select sum(count)::bigint from ({}) as rows", tables.join(" union all "));
        Ok(SyncEngine { words, port, rows, pool, _child: child, _stdin: stdin, _database: database })
    }

    /// Connections to it, which are kept.
    pub async fn connect(&self, clients: usize) -> Result<Vec<HttpClient>> {
        let mut connected = Vec::new();
        for _ in 0..clients {
            let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
            connected.push(HttpClient(Connection::new(stream)?));
        }
        Ok(connected)
    }

    /// Objects that it has stored.
    pub async fn rows(&self) -> Result<i64> {
        Ok(sqlx::query_scalar(AssertSqlSafe(self.rows.as_str())).fetch_one(&self.pool).await?)
    }
}

/// One kept connection.
pub struct HttpClient(Connection);

impl Client for HttpClient {
    async fn deliver(&mut self, event: Bytes) -> Result<()> {
        self.0.send(&event).await?;
        let answer = self.0.message().await?.ok_or("the receiver closed the connection")?;
        match answer.head.starts_with("HTTP/1.1 200 ") {
            true => Ok(()),
            false => Err(format!("not stored: {}", String::from_utf8_lossy(&answer.body)).into()),
        }
    }
}

/// A delivery as Stripe sends it.
pub fn post(body: &str, signature: &str) -> Bytes {
    let length = body.len();
    Bytes::from(format!(
        "POST /webhooks HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: */*; q=0.5, application/xml\r\n\
        cache-control: no-cache\r\ncontent-length: {length}\r\ncontent-type: application/json; charset=utf-8\r\n\
        stripe-signature: {signature}\r\nuser-agent: Stripe/1.0 (+https://stripe.com/docs/webhooks)\r\n\r\n{body}"
    ))
}

/// The folder where it is installed, with the receiver's script beside it.
async fn install() -> Result<PathBuf> {
    let folder = stack::place::repository().join("target/bench/sync-engine");
    if installed(&folder).as_deref() != Some(VERSION) {
        println!("   npm install {PACKAGE}@{VERSION}");
        std::fs::create_dir_all(&folder)?;
        let package = json!({"private": true, "type": "module", "dependencies": {PACKAGE: VERSION}});
        std::fs::write(folder.join("package.json"), package.to_string())?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]);
        npm.current_dir(&folder).stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(INSTALL_PATIENCE, npm.output())
            .await?
            .map_err(|error| format!("npm, which comes with Node.js, can't be run: {error}"))?;
        if !output.status.success() {
            return Err(format!("npm install: {}", String::from_utf8_lossy(&output.stderr).trim()).into());
        }
    }
    std::fs::write(folder.join("receiver.mjs"), include_str!("sync_engine.mjs"))?;
    Ok(folder)
}

fn installed(folder: &Path) -> Option<String> {
    let package = std::fs::read(folder.join("node_modules").join(PACKAGE).join("package.json")).ok()?;
    let package: Value = serde_json::from_slice(&package).ok()?;
    Some(package["version"].as_str()?.to_owned())
}
