//! The database that a backup is restored into.

use std::fmt::Write as _;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};

use super::super::error::ArchiveError;
use super::super::manifest::DatabaseTraits;
use super::super::session::{quote_ident, quote_literal, run};
use super::ledger::Ledger;
use super::mark::Mark;
use super::occupancy;
use super::order::Order;
use crate::db;
use crate::failure::Failure;

/// Postgres cuts names to this length.
const NAME_BYTES_MAX: usize = 63;

/// A database under construction. While this lives a session of it is open: what no session uses was left behind, see
/// [`super::drop_leftovers`].
pub struct Staging {
    /// Its name.
    pub database: String,
    /// How to connect to it.
    pub options: PgConnectOptions,
    /// What about it is not as it was.
    pub warnings: Vec<String>,
    maintenance: PgConnectOptions,
    session: PgConnection,
}

/// Refuses names that Postgres would cut or that are its own.
///
/// # Errors
/// [`ArchiveError::InvalidRequest`].
pub fn check_name(database: &str) -> Result<(), ArchiveError> {
    let reserved = ["postgres", "template0", "template1"].contains(&database);
    let printable = !database.is_empty() && !database.chars().any(char::is_control);
    if printable && database.len() <= NAME_BYTES_MAX && !reserved {
        return Ok(());
    }
    Err(ArchiveError::InvalidRequest(format!(
        "target_database {database:?} cannot be used: it has 1 to {NAME_BYTES_MAX} bytes, no control characters, and is none of Postgres' own databases; for example recoup_restore_1"
    )))
}

impl Staging {
    /// Creates the database, alike in encoding and locale, marked as incomplete, with the list of what is done.
    ///
    /// # Errors
    /// [`ArchiveError::StagingExists`]; `DatabaseUnavailable`; [`ArchiveError::Database`], for example where
    /// the user may not create databases.
    pub(super) async fn create(
        server: &PgConnectOptions,
        database: &str,
        order: &Order,
        traits: &DatabaseTraits,
    ) -> Result<Self, ArchiveError> {
        let (maintenance, mut connection) = connect_to_server(server).await?;
        // Ends with the connection.
        lock_scratch(&mut connection).await?;
        if database_exists(&mut connection, database).await? {
            return Err(already_there(database));
        }
        let warning = create_database(&mut connection, database, traits).await?;
        let mut staging = Self::hold(server, maintenance, database).await?;
        staging.warnings.extend(warning);
        match staging.begin(&mut connection, order).await {
            Ok(()) => Ok(staging),
            Err(error) => Err(staging.drop_after(error).await),
        }
    }

    async fn begin(&mut self, connection: &mut PgConnection, order: &Order) -> Result<(), ArchiveError> {
        let sql = comment_sql(&self.database, &order.unfinished());
        run(connection, &format!("mark database {}", self.database), &sql).await?;
        Ledger::create(&mut self.session, order).await?;
        if occupancy::occupy(&mut self.session).await? {
            return Ok(());
        }
        Err(ArchiveError::Interrupted { operation: format!("fill database {}", self.database) })
    }

    /// Opens a database that a restore was filling, and keeps others from it.
    ///
    /// # Errors
    /// `RestoreRuns` where another invocation fills it; `DatabaseUnavailable`,
    /// [`ArchiveError::Database`].
    pub async fn reopen(server: &PgConnectOptions, database: &str) -> Result<Self, ArchiveError> {
        let options = server.clone().database(database);
        let mut session = db::connect(&occupancy::keeper(&options)).await?;
        if !occupancy::occupy_soon(&mut session).await? {
            return Err(runs(database));
        }
        let (maintenance, _) = connect_to_server(server).await?;
        Ok(Self { database: database.to_owned(), options, warnings: Vec::new(), maintenance, session })
    }

    /// The order of the restore that fills it, where it was written down.
    ///
    /// # Errors
    /// [`ArchiveError::Database`]; [`ArchiveError::InvalidRequest`] where another version wrote it.
    pub async fn order(&mut self) -> Result<Option<Order>, ArchiveError> {
        Ledger::order(&mut self.session).await
    }

    /// Opens the session that holds the database once more, after it was lost.
    ///
    /// # Errors
    /// As [`Self::reopen`].
    pub(super) async fn hold_again(&mut self) -> Result<(), ArchiveError> {
        self.session = db::connect(&occupancy::keeper(&self.options)).await?;
        if occupancy::occupy_soon(&mut self.session).await? {
            return Ok(());
        }
        Err(runs(&self.database))
    }

    /// The session that holds the database.
    pub(super) fn session(&mut self) -> &mut PgConnection {
        &mut self.session
    }

    /// Creates an empty database as the server makes them, for a look at what a schema should be.
    ///
    /// # Errors
    /// `DatabaseUnavailable`; [`ArchiveError::Database`], for example where the user may not create databases.
    pub async fn create_empty(production: &PgConnectOptions, database: &str) -> Result<Self, ArchiveError> {
        let (maintenance, mut connection) = connect_to_server(production).await?;
        lock_scratch(&mut connection).await?;
        let sql = format!("CREATE DATABASE {} TEMPLATE template0", quote_ident(database));
        run(&mut connection, &format!("create database {database}"), &sql).await?;
        Self::hold(production, maintenance, database).await
    }

    /// Opens the session that says that the database is in use; drops the database where that fails.
    async fn hold(
        production: &PgConnectOptions,
        maintenance: PgConnectOptions,
        database: &str,
    ) -> Result<Self, ArchiveError> {
        let options = production.clone().database(database);
        let session = match db::connect(&occupancy::keeper(&options)).await {
            Ok(session) => session,
            Err(failure) => {
                let dropped = drop_database(&maintenance, database).await;
                return Err(after(failure.into(), database, dropped));
            }
        };
        Ok(Self { database: database.to_owned(), options, warnings: Vec::new(), maintenance, session })
    }

    /// `server_version_num` of its server, where that can be read.
    pub fn server_version(&self) -> Option<u32> {
        self.session.server_version_num()
    }

    /// Leaves the database as it is, to whoever asked for it.
    pub async fn release(self) {
        // It is closed either way; a goodbye that does not arrive changes nothing.
        let _ = self.session.close().await;
    }

    /// Begins the transaction that [`Self::finish`] commits.
    ///
    /// # Errors
    /// [`ArchiveError::Database`].
    pub(super) async fn begin_end(&mut self) -> Result<(), ArchiveError> {
        run(&mut self.session, &format!("end the restore of database {}", self.database), "BEGIN").await
    }

    /// The database is proven: the list of what was done goes, and the comment says what it is, at one moment. After
    /// [`Self::begin_end`].
    ///
    /// # Errors
    /// [`ArchiveError::Database`].
    pub(super) async fn finish(&mut self, mark: &Mark) -> Result<(), ArchiveError> {
        let operation = format!("mark database {} as {mark}", self.database);
        let events: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_catalog.pg_event_trigger)")
            .persistent(false)
            .fetch_one(&mut self.session)
            .await
            .map_err(|error| ArchiveError::database(&operation, &error))?;
        // Event triggers of the database are not meant for this; who could make them may silence them.
        let silence = if events { "SET LOCAL session_replication_role = 'replica';" } else { "" };
        let sql = format!(
            "SET LOCAL client_min_messages = warning; {silence}
            DROP SCHEMA {} CASCADE;
            {};
            COMMIT",
            super::ledger::SCHEMA,
            comment_sql(&self.database, mark)
        );
        run(&mut self.session, &operation, &sql).await
    }

    /// `error` with what remains of the database, and how it goes on.
    pub(super) fn kept_after(&self, error: ArchiveError, restore_id: &str) -> ArchiveError {
        let name = quote_ident(&self.database);
        let outcome = format!(
            "Database {name} was kept with what is done: go on with {{\"action\":\"resume\",\"restore_id\":\"{restore_id}\"}}, or drop it with DROP DATABASE {name} WITH (FORCE); production was not touched"
        );
        ArchiveError::CleanedUp { error: Box::new(error), outcome }
    }

    /// Drops the database because of `error`, and says so.
    pub async fn drop_after(&self, error: ArchiveError) -> ArchiveError {
        after(error, &self.database, self.drop_database().await)
    }

    /// Drops the database.
    ///
    /// # Errors
    /// `DatabaseUnavailable`, [`ArchiveError::Database`].
    pub async fn drop_database(&self) -> Result<(), ArchiveError> {
        drop_database(&self.maintenance, &self.database).await
    }
}

fn runs(database: &str) -> ArchiveError {
    let message = format!(
        "go on filling database {database}: another invocation is at it; wait for its answer, and ask {{\"action\":\"status\"}} how far it is"
    );
    Failure::new("RestoreRuns", message).into()
}

fn comment_sql(database: &str, mark: &Mark) -> String {
    format!("COMMENT ON DATABASE {} IS {}", quote_ident(database), quote_literal(&mark.to_string()))
}

/// Whether the server has a database of this name.
///
/// # Errors
/// [`ArchiveError::Database`].
pub(super) async fn database_exists(
    connection: &mut PgConnection,
    database: &str,
) -> Result<bool, ArchiveError> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = $1)")
        .bind(database)
        .persistent(false)
        .fetch_one(connection)
        .await
        .map_err(|error| ArchiveError::database("look for the target database", &error))
}

async fn drop_database(maintenance: &PgConnectOptions, database: &str) -> Result<(), ArchiveError> {
    let mut connection = db::connect(maintenance).await?;
    // Sessions of a load that was cut short may still be ending.
    let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quote_ident(database));
    run(&mut connection, &format!("drop database {database}"), &sql).await
}

fn after(error: ArchiveError, database: &str, dropped: Result<(), ArchiveError>) -> ArchiveError {
    let name = quote_ident(database);
    let outcome = match dropped {
        Ok(()) => format!("Database {name} was dropped; production was not touched"),
        Err(left) => format!(
            "Database {name} could not be dropped ({left}): it is incomplete, drop it with DROP DATABASE {name} WITH (FORCE); production was not touched"
        ),
    };
    ArchiveError::CleanedUp { error: Box::new(error), outcome }
}

/// One at a time creates a database and opens its session, or looks for databases without one: else the new one would
/// be taken for a leftover. Held until the connection ends.
pub(super) async fn lock_scratch(connection: &mut PgConnection) -> Result<(), ArchiveError> {
    // The number is arbitrary, and the same in every version.
    let sql = "SELECT pg_catalog.pg_advisory_lock(7235418206)";
    run(connection, "wait for another restore to create its database", sql).await
}

/// Connects to whichever database of the server still lets one in: production may be gone.
pub(super) async fn connect_to_server(
    production: &PgConnectOptions,
) -> Result<(PgConnectOptions, PgConnection), ArchiveError> {
    let mut first_failure: Option<Failure> = None;
    let own = production.get_database().unwrap_or("postgres").to_owned();
    for database in ["postgres", "template1", &own] {
        let options = production.clone().database(database);
        match db::connect(&options).await {
            Ok(connection) => return Ok((options, connection)),
            Err(failure) => first_failure = first_failure.or(Some(failure)),
        }
    }
    Err(first_failure.expect("three databases were tried").into())
}

/// Creates the database as the manifest says. A server without its locale (another provider's, or another
/// operating system's) gets its own instead: rows are the same, only the order of texts may differ.
async fn create_database(
    connection: &mut PgConnection,
    database: &str,
    traits: &DatabaseTraits,
) -> Result<Option<String>, ArchiveError> {
    let operation = format!("create database {database}");
    let name = quote_ident(database);
    let encoding = quote_literal(&traits.encoding);
    let alike = format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING {encoding}{}", locale(traits));
    let refused = match run(connection, &operation, &alike).await {
        Ok(()) => return Ok(None),
        Err(ArchiveError::Database { reason, .. }) if reason.is("42P04") => {
            return Err(already_there(database));
        }
        Err(ArchiveError::Database { reason, .. }) if reason.is("42501") => {
            return Err(Failure::new(
                "PermissionDenied",
                format!(
                    "{operation}: the secret's user may not create databases; allow it (ALTER ROLE … CREATEDB), or give target_secret, a secret with the URL of another server where it may"
                ),
            )
            .into());
        }
        // Invalid locale name, or an option that this version does not have.
        Err(ArchiveError::Database { reason, .. })
            if ["42809", "22023", "42601", "0A000"].into_iter().any(|state| reason.is(state)) =>
        {
            reason
        }
        Err(error) => return Err(error),
    };
    let plain = format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING {encoding}");
    run(connection, &operation, &plain).await?;
    Ok(Some(format!(
        "database {database} has the server's own locale, since it does not know {} {}: texts may sort otherwise ({refused})",
        traits.locale_provider, traits.collate
    )))
}

/// The options of `CREATE DATABASE` that give it the locale that it had, with a space before them.
pub(in crate::archive) fn locale(traits: &DatabaseTraits) -> String {
    let mut options =
        format!(" LC_COLLATE {} LC_CTYPE {}", quote_literal(&traits.collate), quote_literal(&traits.ctype));
    // Before 15 there is no provider to choose, and libc is what there is.
    let Some(locale) = &traits.locale else { return options };
    let name = if traits.locale_provider == "icu" { "ICU_LOCALE" } else { "BUILTIN_LOCALE" };
    let _ = write!(options, " LOCALE_PROVIDER {} {name} {}", traits.locale_provider, quote_literal(locale));
    if let Some(rules) = &traits.icu_rules {
        let _ = write!(options, " ICU_RULES {}", quote_literal(rules));
    }
    options
}

fn already_there(database: &str) -> ArchiveError {
    ArchiveError::StagingExists { database: database.to_owned(), quoted: quote_ident(database) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_postgres_would_cut_or_owns_are_refused() {
        assert!(check_name("recoup_restore_1").is_ok());
        assert!(check_name("Größe \"x\"").is_ok());
        for name in ["", "postgres", "template1", "a\nb", &"x".repeat(64)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }
}
