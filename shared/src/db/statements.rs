//! Statements that are each a transaction of their own, and how they reach Postgres: over a connection to the
//! server, or through a pooler that gives every transaction another one.
//!
//! A pooler in transaction mode (PgBouncer, Neon, Supabase) knows no session: it refuses startup options, a setting
//! would stay behind for somebody else's transaction, and a statement that was prepared is not there in the next
//! one, or is another one of the same name. So each statement stands in an explicit transaction, is prepared in it
//! without a name, and the settings are local to it. That costs three round trips more.

use std::future::Future;

use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgQueryResult, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Executor, Postgres, Result};

/// What events rely on besides their isolation level: of a session, or behind a pooler of each transaction. See
/// [`crate::events::inbox::session_options`].
pub const SETTINGS: [(&str, &str); 8] = [
    ("statement_timeout", "10s"),
    ("lock_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "15s"),
    ("plan_cache_mode", "force_generic_plan"),
    ("jit", "off"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
];

/// Opens a transaction behind a pooler.
fn begin() -> AssertSqlSafe<String> {
    let settings = SETTINGS.map(|(name, value)| format!("; set local {name} = '{value}'"));
    AssertSqlSafe(format!("begin isolation level repeatable read{}", settings.concat()))
}

/// Runs statements, each committed when it returns.
pub trait Statements: Send {
    /// The first row.
    fn fetch_optional(
        &mut self,
        query: Query<'_, Postgres, PgArguments>,
    ) -> impl Future<Output = Result<Option<PgRow>>> + Send;

    /// How many rows were written.
    fn execute(
        &mut self,
        query: Query<'_, Postgres, PgArguments>,
    ) -> impl Future<Output = Result<PgQueryResult>> + Send;

    /// The connection, for what takes several statements: unnamed ones, in an explicit transaction.
    fn connection(&mut self) -> &mut PgConnection;

    /// The one row that the statement always has.
    fn fetch_one(
        &mut self,
        query: Query<'_, Postgres, PgArguments>,
    ) -> impl Future<Output = Result<PgRow>> + Send {
        async { self.fetch_optional(query).await?.ok_or(sqlx::Error::RowNotFound) }
    }
}

impl Statements for PgConnection {
    async fn fetch_optional(&mut self, query: Query<'_, Postgres, PgArguments>) -> Result<Option<PgRow>> {
        query.fetch_optional(self).await
    }

    async fn execute(&mut self, query: Query<'_, Postgres, PgArguments>) -> Result<PgQueryResult> {
        query.execute(self).await
    }

    fn connection(&mut self) -> &mut PgConnection {
        self
    }
}

/// A connection to a pooler in transaction mode. One that was dropped half way must not be used again.
pub struct Pooled<'c>(pub &'c mut PgConnection);

impl Pooled<'_> {
    /// What a pooler accepts of a connection's options.
    pub fn options(options: PgConnectOptions) -> PgConnectOptions {
        options.extra_float_digits(None)
    }

    async fn end<T>(&mut self, done: Result<T>) -> Result<T> {
        match done {
            Ok(value) => {
                Executor::execute(&mut *self.0, sqlx::raw_sql("commit")).await?;
                Ok(value)
            }
            Err(error) => {
                // Where this fails too the connection is broken, which `error` says already.
                let _ = Executor::execute(&mut *self.0, sqlx::raw_sql("rollback")).await;
                Err(error)
            }
        }
    }
}

impl Statements for Pooled<'_> {
    async fn fetch_optional(&mut self, query: Query<'_, Postgres, PgArguments>) -> Result<Option<PgRow>> {
        Executor::execute(&mut *self.0, sqlx::raw_sql(begin())).await?;
        let row = query.persistent(false).fetch_optional(&mut *self.0).await;
        self.end(row).await
    }

    async fn execute(&mut self, query: Query<'_, Postgres, PgArguments>) -> Result<PgQueryResult> {
        Executor::execute(&mut *self.0, sqlx::raw_sql(begin())).await?;
        let written = query.persistent(false).execute(&mut *self.0).await;
        self.end(written).await
    }

    fn connection(&mut self) -> &mut PgConnection {
        self.0
    }
}
