//! The one database connection of an instance.

use std::pin::Pin;
use std::str::FromStr;
use std::time::{Duration, Instant};

use recoup::db::{self, Pooled, Statements};
use recoup::events::inbox::{Source, WriteError, session_options};
use recoup::events::receive::{LineItems, Receipt, Rules, receive};
use recoup::failure::Failure;
use recoup::secrets::{self, Cached, SecretStore};
use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Sleep, sleep, timeout};

/// Everything that one request may take of Postgres: below the 29 seconds of the function, so that the answer
/// is ours and not the gateway's.
const TIMEOUT: Duration = Duration::from_secs(15);

/// A check that takes longer than this has failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// What stands between us and Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooler {
    /// Nothing, or a pooler that gives a session a connection of its own.
    None,
    /// A pooler in transaction mode.
    Transaction,
}

impl FromStr for Pooler {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "transaction" => Ok(Self::Transaction),
            _ => Err(format!("{text:?} is not known; expected none or transaction")),
        }
    }
}

/// A connection that is opened when it is first needed and again after it broke.
pub struct Session {
    secret_id: String,
    pooler: Pooler,
    options: Cached<PgConnectOptions>,
    kept: Mutex<Option<Kept>>,
}

/// What one request leaves for the next.
struct Kept {
    connection: PgConnection,
    /// Ends the request that has it. It is put off rather than made anew: a new timer wakes the event loop, which
    /// costs as much as reading the event.
    patience: Pin<Box<Sleep>>,
}

impl Session {
    /// A session that is not connected yet.
    ///
    /// # Errors
    /// What is wrong with the secret; `DatabaseUrlInvalid`.
    pub async fn read(store: &impl SecretStore, secret_id: String, pooler: Pooler) -> Result<Self, Failure> {
        let options = Cached::new(options(store, &secret_id, pooler).await?);
        Ok(Self { secret_id, pooler, options, kept: Mutex::new(None) })
    }

    /// Receives a proven body. Where a connection from an earlier request was found dead it is replaced and
    /// the work done again, once: what committed before is a duplicate now.
    ///
    /// # Errors
    /// Why nothing could be committed.
    pub async fn receive(
        &self,
        store: &impl SecretStore,
        line_items: &impl LineItems,
        rules: &Rules,
        source: Source,
        body: &[u8],
    ) -> Result<Receipt, Failure> {
        loop {
            let mut lease = self.lease(store).await?;
            let Kept { connection, patience } = &mut lease.kept;
            patience.as_mut().reset(tokio::time::Instant::now() + TIMEOUT);
            let work = async {
                match self.pooler {
                    Pooler::None => receive(connection, line_items, rules, source, body).await,
                    Pooler::Transaction => {
                        receive(&mut Pooled(connection), line_items, rules, source, body).await
                    }
                }
            };
            let done = tokio::select! {
                biased;
                done = work => done,
                () = patience => {
                    let message = "write event: no answer within 15 seconds";
                    return Err(Failure::new("DatabaseUnavailable", message));
                }
            };
            match done {
                Ok(receipt) => {
                    lease.keep();
                    return Ok(receipt);
                }
                Err(error) if is_broken(&error) && lease.reused => {}
                Err(error) => {
                    if !is_broken(&error) {
                        lease.keep();
                    }
                    return Err(error.into());
                }
            }
        }
    }

    /// Whether Postgres answers and has our tables.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub async fn check(&self, store: &impl SecretStore) -> Result<(), Failure> {
        loop {
            let mut lease = self.lease(store).await?;
            let connection = &mut lease.kept.connection;
            let query = sqlx::query("select from recoup.webhook_events limit 0");
            let look = async {
                match self.pooler {
                    Pooler::None => Statements::fetch_optional(connection, query).await,
                    Pooler::Transaction => Pooled(connection).fetch_optional(query).await,
                }
            };
            match timeout(CHECK_TIMEOUT, look).await {
                Ok(Ok(_)) => {
                    lease.keep();
                    return Ok(());
                }
                Ok(Err(error)) if error.as_database_error().is_none() && lease.reused => {}
                Ok(Err(error)) => return Err(WriteError::from(error).into()),
                Err(_) => {
                    return Err(Failure::new(
                        "DatabaseUnavailable",
                        "check Postgres: no answer within 5 seconds",
                    ));
                }
            }
        }
    }

    async fn lease(&self, store: &impl SecretStore) -> Result<Lease<'_>, Failure> {
        let mut home = self.kept.lock().await;
        let kept = home.take();
        let reused = kept.is_some();
        let kept = match kept {
            Some(kept) => kept,
            None => Kept { connection: self.connect(store).await?, patience: Box::pin(sleep(TIMEOUT)) },
        };
        Ok(Lease { home, kept, reused })
    }

    /// Connects; where the login is refused the secret may have been rotated, so it is read again, seldom.
    async fn connect(&self, store: &impl SecretStore) -> Result<PgConnection, Failure> {
        match db::connect(&self.options.get()).await {
            Err(failure) if failure.error_type() == "DatabaseLoginRefused" => {
                let read = options(store, &self.secret_id, self.pooler);
                match self.options.refresh(Instant::now(), read).await {
                    Some(options) => db::connect(&*options?).await,
                    None => Err(failure),
                }
            }
            connected => connected,
        }
    }
}

async fn options(
    store: &impl SecretStore,
    secret_id: &str,
    pooler: Pooler,
) -> Result<PgConnectOptions, Failure> {
    let url = secrets::database_url(store, secret_id).await?;
    let options = db::options(url.expose_secret(), "recoup webhook")?;
    Ok(match pooler {
        Pooler::None => session_options(options),
        Pooler::Transaction => Pooled::options(options),
    })
}

/// The connection while one request has it. Dropped, it is closed: only [`Lease::keep`] hands it to the next,
/// so that nothing ever runs on a connection that was left half way.
struct Lease<'s> {
    home: MutexGuard<'s, Option<Kept>>,
    kept: Kept,
    reused: bool,
}

impl Lease<'_> {
    fn keep(mut self) {
        *self.home = Some(self.kept);
    }
}

/// Whether the connection that met this error is of no more use.
fn is_broken(error: &WriteError) -> bool {
    match error {
        WriteError::Rejected(_) | WriteError::SchemaMissing(_) => false,
        // Class 57 is the server shutting down or ending the session.
        WriteError::Unavailable(error) => {
            let code = error.as_database_error().and_then(|error| error.code());
            code.is_none_or(|code| code.starts_with("57P"))
        }
    }
}
