//! The server, seen from a database that is neither production nor the copy: both may be renamed.

use sqlx::postgres::PgConnectOptions;
use sqlx::{FromRow, PgConnection};

use super::error::PromoteError;
use super::mark::Mark;
use crate::archive::session::run;
use crate::db;
use crate::failure::Failure;

/// Held, with the name of production, by whoever promotes, undoes or discards; the number is arbitrary, and the same in
/// every version.
const LOCK: i32 = 723_541_820;

/// A database of the server.
#[derive(Debug, Clone, FromRow)]
pub struct Database {
    /// Its oid, which it keeps when it is renamed.
    pub oid: i64,
    /// Its name.
    pub name: String,
    comment: Option<String>,
    /// Who owns it.
    pub owner: String,
    /// Whether we have the owner's rights.
    pub is_ours: bool,
    /// Whether it takes connections.
    pub lets_in: bool,
    /// How many it takes; -1 for any number.
    pub connection_limit: i32,
    /// Prepared transactions that are open in it.
    pub prepared: i64,
    /// Logical replication slots on it.
    pub slots: Vec<String>,
}

impl Database {
    /// What it is to recoup.
    pub fn mark(&self) -> Mark {
        Mark::read(self.comment.as_deref())
    }
}

/// A connection that holds the lock against other promotes.
pub struct Server {
    /// How production is connected to.
    pub production: PgConnectOptions,
    /// How [`Self::connection`] was made.
    pub maintenance: PgConnectOptions,
    /// In the database `postgres`, or another one that is neither production nor a copy.
    pub connection: PgConnection,
}

impl Server {
    /// Connects, and takes the lock until [`Self`] is dropped.
    ///
    /// # Errors
    /// [`PromoteError::Busy`]; `DatabaseUnavailable` where neither `postgres` nor `template1` lets one in.
    pub async fn lock(production: &PgConnectOptions, operation: &str) -> Result<Self, PromoteError> {
        let name = production.get_database().unwrap_or("postgres");
        let (maintenance, mut connection) = connect_beside(production, name, operation).await?;
        run(&mut connection, "prepare the connection", "SET lock_timeout = '10s'; SET search_path = ''")
            .await?;
        let lock = "SELECT pg_catalog.pg_try_advisory_lock($1, pg_catalog.hashtext($2))";
        let free: bool = sqlx::query_scalar(lock)
            .bind(LOCK)
            .bind(name)
            .persistent(false)
            .fetch_one(&mut connection)
            .await
            .map_err(|error| PromoteError::database("ask for the lock against other promotes", &error))?;
        if !free {
            return Err(PromoteError::Busy { operation: operation.to_owned() });
        }
        Ok(Self { production: production.clone(), maintenance, connection })
    }

    /// What production is called.
    pub fn production_name(&self) -> &str {
        self.production.get_database().unwrap_or("postgres")
    }

    /// How to connect to another database of the server.
    pub fn options_of(&self, database: &str) -> PgConnectOptions {
        self.production.clone().database(database)
    }

    /// Every database that is not a template.
    ///
    /// # Errors
    /// [`PromoteError::Archive`].
    pub async fn databases(&mut self) -> Result<Vec<Database>, PromoteError> {
        databases(&mut self.connection).await
    }

    /// The database of that name.
    ///
    /// # Errors
    /// [`PromoteError::DatabaseMissing`].
    pub async fn database(&mut self, name: &str) -> Result<Database, PromoteError> {
        find(&mut self.connection, name).await
    }
}

/// The database of that name on another server than production's.
///
/// # Errors
/// [`PromoteError::DatabaseMissing`]; `DatabaseUnavailable`.
pub async fn database_elsewhere(
    server: &PgConnectOptions,
    name: &str,
    operation: &str,
) -> Result<Database, PromoteError> {
    let (_, mut connection) = connect_beside(server, name, operation).await?;
    find(&mut connection, name).await
}

/// Connects to a database of a server that is not `name`.
async fn connect_beside(
    server: &PgConnectOptions,
    name: &str,
    operation: &str,
) -> Result<(PgConnectOptions, PgConnection), PromoteError> {
    let mut first_failure: Option<Failure> = None;
    for database in ["postgres", "template1"].into_iter().filter(|database| *database != name) {
        let options = server.clone().database(database);
        match db::connect(&options).await {
            Ok(connection) => return Ok((options, connection)),
            Err(failure) => first_failure = first_failure.or(Some(failure)),
        }
    }
    match first_failure {
        Some(failure) => Err(failure.into()),
        None => Err(PromoteError::InvalidRequest(format!(
            "{operation}: no database but {name} itself is known to connect to"
        ))),
    }
}

async fn databases(connection: &mut PgConnection) -> Result<Vec<Database>, PromoteError> {
    sqlx::query_as(include_str!("sql/databases.sql"))
        .persistent(false)
        .fetch_all(connection)
        .await
        .map_err(|error| PromoteError::database("list the databases of the server", &error))
}

async fn find(connection: &mut PgConnection, name: &str) -> Result<Database, PromoteError> {
    let databases = databases(connection).await?;
    let copies: Vec<&str> = databases
        .iter()
        .filter(|database| !matches!(database.mark(), Mark::Foreign(_)))
        .map(|database| database.name.as_str())
        .collect();
    let known = match copies.as_slice() {
        [] => "recoup made none that is still there; restore a backup first".to_owned(),
        copies => format!("these were made by recoup: {}", copies.join(", ")),
    };
    databases.iter().find(|database| database.name == name).cloned().ok_or_else(|| {
        PromoteError::DatabaseMissing {
            database: name.to_owned(),
            remedy: format!(
                "the server has no database of this name; {known}; where the copy is on another server, give that one's target_secret"
            ),
        }
    })
}
