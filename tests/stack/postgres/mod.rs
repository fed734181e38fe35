//! Postgres, real: a server that `DATABASE_URL` names, else a private one from the programs found on the machine.
//!
//! Each test gets databases of its own, cloned from a template to which the migrations were applied once.

mod find;
mod major;
mod server;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tokio::sync::OnceCell;

pub use self::major::Major;
use self::server::Server;
use crate::error::{Error, Result};
use crate::place;

/// SQLSTATE `object_in_use`: someone is still connected to the template.
const OBJECT_IN_USE: &str = "55006";
const CLONE_TRIES: u32 = 20;

/// The server that all stacks of this process share. It is in a process wide slot because tests of one binary know
/// nothing of each other. A private server stays until the process ends (its leash sees to it); our databases on
/// somebody else's server go with the last stack, which a weak reference allows.
static SHARED: tokio::sync::Mutex<Option<Shared>> = tokio::sync::Mutex::const_new(None);

/// The servers of [`Postgres::of`], as [`Shared::Private`]. Each starts in a slot of its own, so that none waits for another.
static OF_MAJORS: tokio::sync::Mutex<BTreeMap<Major, Arc<OnceCell<Postgres>>>> =
    tokio::sync::Mutex::const_new(BTreeMap::new());

enum Shared {
    Private(Arc<Inner>),
    Given(Weak<Inner>),
}

/// How to run a private server.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Which version; else the one that the machine has.
    pub major: Option<Major>,
    /// Whether a commit is on disk when it returns. Off for tests; benchmarks want it on.
    pub durable: bool,
    /// `max_connections`.
    pub connections_max: u32,
    /// Further settings, as `postgres -c name=value` takes them.
    pub settings: Vec<(String, String)>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        PostgresOptions { major: None, durable: false, connections_max: 200, settings: Vec::new() }
    }
}

/// How a server ends (PostgreSQL documentation, "Shutting Down the Server").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Sessions are told, and what they had not committed is undone.
    Fast,
    /// As in a crash: the next start recovers from the log.
    Immediate,
}

/// A Postgres server on which databases can be made.
#[derive(Debug, Clone)]
pub struct Postgres {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Connects to a database that is only used to make and drop others.
    url: String,
    /// The server itself where it is ours.
    server: Option<Server>,
    databases_made: AtomicU32,
    /// Template database of each directory of migrations.
    templates: tokio::sync::Mutex<HashMap<PathBuf, String>>,
}

/// A database that is dropped, whoever is connected, when this value is.
#[derive(Debug)]
pub struct Database {
    postgres: Postgres,
    name: String,
    url: String,
}

impl Postgres {
    /// The server that everything in this process shares: the one that `DATABASE_URL` names, else a private one with
    /// default options, started by the first caller.
    pub async fn shared() -> Result<Postgres> {
        let mut shared = SHARED.lock().await;
        let running = match &*shared {
            Some(Shared::Private(inner)) => Some(inner.clone()),
            Some(Shared::Given(inner)) => inner.upgrade(),
            None => None,
        };
        if let Some(inner) = running {
            return Ok(Postgres { inner });
        }
        if let Ok(url) = std::env::var("DATABASE_URL") {
            let postgres = Postgres::at(&url);
            postgres.require_right_to_create_databases().await?;
            *shared = Some(Shared::Given(Arc::downgrade(&postgres.inner)));
            return Ok(postgres);
        }
        let postgres = Postgres::start(PostgresOptions::default()).await?;
        *shared = Some(Shared::Private(postgres.inner.clone()));
        Ok(postgres)
    }

    /// The server of a version that everything in this process shares, with default options, started by the first caller.
    ///
    /// # Errors
    /// Where `tests/setup` has not brought this version: a test on it fails, and is never skipped.
    pub async fn of(major: Major) -> Result<Postgres> {
        let slot = OF_MAJORS.lock().await.entry(major).or_default().clone();
        let options = PostgresOptions { major: Some(major), ..PostgresOptions::default() };
        slot.get_or_try_init(|| Postgres::start(options)).await.cloned()
    }

    /// A private server of the caller's own, ended when the last handle to it is dropped.
    pub async fn start(options: PostgresOptions) -> Result<Postgres> {
        let server = Server::start(options).await?;
        Ok(Postgres::over(server.url.clone(), Some(server)))
    }

    /// A server that runs already. To make databases there the user in `url` needs the right to, and no other.
    pub fn at(url: &str) -> Postgres {
        Postgres::over(url.to_owned(), None)
    }

    async fn require_right_to_create_databases(&self) -> Result<()> {
        let mut connection = connect(&self.inner.url).await?;
        let allowed: std::result::Result<bool, sqlx::Error> =
            sqlx::query_scalar("select rolcreatedb or rolsuper from pg_roles where rolname = current_user")
                .fetch_one(&mut connection)
                .await;
        let _ = connection.close().await;
        if allowed.map_err(Error::database("read the rights of DATABASE_URL's user"))? {
            return Ok(());
        }
        Err(Error::missing(
            "the right to create databases on the server of DATABASE_URL",
            "run there as superuser: ALTER ROLE <that user> CREATEDB",
        ))
    }

    fn over(url: String, server: Option<Server>) -> Postgres {
        let inner = Inner {
            url,
            server,
            databases_made: AtomicU32::new(0),
            templates: tokio::sync::Mutex::default(),
        };
        Postgres { inner: Arc::new(inner) }
    }

    /// Restarts a private server, and returns when it answers again.
    pub async fn restart(&self, shutdown: Shutdown) -> Result<()> {
        match &self.inner.server {
            Some(server) => server.restart(shutdown).await,
            None => Err(Error::failed("restart postgres", "the server is not ours; use Postgres::start")),
        }
    }

    /// Connects to the server's maintenance database.
    pub fn url(&self) -> &str {
        &self.inner.url
    }

    /// The URL of another database on this server.
    pub fn url_of(&self, database: &str) -> String {
        with_database(&self.inner.url, database)
    }

    /// Where this server's `psql` and `pg_dump` are, or those of the newest version if it has none of its own.
    pub fn bin_dir(&self) -> Result<PathBuf> {
        match &self.inner.server {
            Some(server) if find::has_clients(&server.bin_dir) => Ok(server.bin_dir.clone()),
            _ => find::client_directory(),
        }
    }

    /// A new database with the repository's migrations applied.
    pub async fn migrated_database(&self) -> Result<Database> {
        self.database_from(&place::repository().join("migrations")).await
    }

    /// A new database with the migrations of a directory applied: they run once a process, the rest are clones.
    pub async fn database_from(&self, migrations: &Path) -> Result<Database> {
        let template = self.template(migrations).await?;
        self.create_database(Some(&template)).await
    }

    /// A new, empty database.
    pub async fn empty_database(&self) -> Result<Database> {
        self.create_database(None).await
    }

    async fn template(&self, migrations: &Path) -> Result<String> {
        let mut templates = self.inner.templates.lock().await;
        if let Some(name) = templates.get(migrations) {
            return Ok(name.clone());
        }
        let name = self.unused_name("template");
        let url = self.url_of(&name);
        self.execute(&format!("create database {name} template template0 encoding 'UTF8'")).await?;
        match apply_migrations(&url, migrations).await {
            Ok(()) => {
                templates.insert(migrations.to_owned(), name.clone());
                Ok(name)
            }
            Err(error) => {
                self.execute(&format!("drop database if exists {name} with (force)")).await?;
                Err(error)
            }
        }
    }

    async fn create_database(&self, template: Option<&str>) -> Result<Database> {
        let name = self.unused_name("database");
        let template = template.unwrap_or("template0");
        let statement = format!("create database {name} template {template} encoding 'UTF8'");
        for _ in 1..CLONE_TRIES {
            match self.execute(&statement).await {
                Err(Error::Database { source: sqlx::Error::Database(error), .. })
                    if error.code().as_deref() == Some(OBJECT_IN_USE) =>
                {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(error) => return Err(error),
                Ok(()) => return Ok(self.own(name)),
            }
        }
        self.execute(&statement).await?;
        Ok(self.own(name))
    }

    fn own(&self, name: String) -> Database {
        Database { postgres: self.clone(), url: self.url_of(&name), name }
    }

    /// Unique on a server that several processes, even of several machines, may share.
    fn unused_name(&self, kind: &str) -> String {
        let number = self.inner.databases_made.fetch_add(1, Ordering::Relaxed);
        format!("recoup_{kind}_{}_{:08x}_{number}", std::process::id(), rand::random::<u32>())
    }

    async fn execute(&self, statement: &str) -> Result<()> {
        let mut connection = connect(&self.inner.url).await?;
        let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await;
        let _ = connection.close().await;
        done.map(|_| ()).map_err(Error::database(statement))
    }

    /// What `pg_dump` writes of a database, with further arguments such as `--data-only`. It is the outside judge of
    /// a restored database.
    pub async fn pg_dump(&self, database_url: &str, arguments: &[&str]) -> Result<String> {
        let program = self.bin_dir()?.join("pg_dump");
        let output = tokio::process::Command::new(&program)
            .arg("--dbname")
            .arg(database_url)
            .args(arguments)
            .output()
            .await
            .map_err(Error::io(format!("run {}", program.display())))?;
        if !output.status.success() {
            return Err(Error::failed("run pg_dump", &String::from_utf8_lossy(&output.stderr)));
        }
        String::from_utf8(output.stdout).map_err(|error| Error::failed("read pg_dump's output", &error))
    }
}

impl Database {
    /// Its connection URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name on the server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server that it is on.
    pub fn postgres(&self) -> &Postgres {
        &self.postgres
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        drop_databases(&self.postgres.inner.url, vec![self.name.clone()]);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // With a private server the templates go anyway.
        if self.server.is_none() {
            let templates: Vec<String> = self.templates.get_mut().drain().map(|(_, name)| name).collect();
            drop_databases(&self.url, templates);
        }
    }
}

/// Applies a directory of migrations to a database.
pub async fn apply_migrations(url: &str, migrations: &Path) -> Result<()> {
    let operation = || format!("apply the migrations in {}", migrations.display());
    let mut migrator = Migrator::new(migrations)
        .await
        .map_err(|source| Error::Migration { operation: operation(), source })?;
    // As sqlx.toml says: what was applied is noted in our own schema, never in an application's `public`.
    migrator.create_schema("recoup");
    migrator.dangerous_set_table_name("recoup._sqlx_migrations");
    let mut connection = connect(url).await?;
    let applied = migrator.run(&mut connection).await;
    let _ = connection.close().await;
    applied.map_err(|source| Error::Migration { operation: operation(), source })
}

async fn connect(url: &str) -> Result<PgConnection> {
    let options = PgConnectOptions::from_str(url)
        .map_err(Error::database("read a database URL"))?
        .disable_statement_logging();
    PgConnection::connect_with(&options).await.map_err(Error::database("connect to Postgres"))
}

/// Drops databases from a destructor: on a thread with a runtime of its own, because a destructor cannot await.
fn drop_databases(url: &str, names: Vec<String>) {
    if names.is_empty() {
        return;
    }
    let url = url.to_owned();
    let dropped = std::thread::Builder::new().name("drop-databases".to_owned()).spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(sqlx::Error::Io)?;
        runtime.block_on(async {
            let options = PgConnectOptions::from_str(&url)?.disable_statement_logging();
            let mut connection = PgConnection::connect_with(&options).await?;
            for name in names {
                let statement = format!("drop database if exists {name} with (force)");
                sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
            }
            connection.close().await
        })
    });
    let outcome = dropped.map(std::thread::JoinHandle::join);
    if let Ok(Ok(Err(error))) = outcome {
        // A private server may be gone first at the end of the process: then so are its databases.
        tracing::debug!(%error, "databases were not dropped");
    }
}

/// `postgres://user@host:port/<database>?options` with another database.
fn with_database(url: &str, database: &str) -> String {
    let (before, options) = match url.split_once('?') {
        Some((before, options)) => (before, format!("?{options}")),
        None => (url, String::new()),
    };
    let host_start = before.find("://").map_or(0, |at| at + 3);
    let host_end = before[host_start..].find('/').map_or(before.len(), |at| host_start + at);
    format!("{}/{database}{options}", &before[..host_end])
}

#[cfg(test)]
mod tests {
    use super::with_database;

    #[test]
    fn another_database_keeps_the_rest_of_the_url() {
        assert_eq!(
            with_database("postgres://u:p@h:5/a?sslmode=require", "b"),
            "postgres://u:p@h:5/b?sslmode=require"
        );
        assert_eq!(with_database("postgres://u@h", "b"), "postgres://u@h/b");
        assert_eq!(with_database("postgres:///a", "b"), "postgres:///b");
    }
}
