//! One restore at a time fills a staging database.
//!
//! Whoever fills it has a session of it with an advisory lock, which goes with the session however that ends. What a
//! killed invocation left running on the server (an index that is half built) belongs to the next one: it is waited
//! for where it works, so that an index may take longer than an invocation, and ended where it only waits for a client
//! that is no more.

use std::time::Duration;

use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;

use crate::archive::error::ArchiveError;

/// The number is arbitrary, and the same in every version. Such locks are each database's own.
const LOCK: i64 = 7_235_418_207;

/// How long a server may take to notice that a session's client is gone.
const PATIENCE: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_millis(200);

/// Takes the lock. `false` where another session has it.
///
/// # Errors
/// [`ArchiveError::Database`].
pub(super) async fn occupy(connection: &mut PgConnection) -> Result<bool, ArchiveError> {
    sqlx::query_scalar("SELECT pg_catalog.pg_try_advisory_lock($1)")
        .bind(LOCK)
        .persistent(false)
        .fetch_one(connection)
        .await
        .map_err(|error| ArchiveError::database("mark the restore as running", &error))
}

/// The same, with patience for a session that is about to end.
///
/// # Errors
/// As [`occupy`].
pub(super) async fn occupy_soon(connection: &mut PgConnection) -> Result<bool, ArchiveError> {
    let began = std::time::Instant::now();
    loop {
        if occupy(connection).await? {
            return Ok(true);
        }
        if began.elapsed() > PATIENCE {
            return Ok(false);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Whether a session has the lock of `database`.
///
/// # Errors
/// [`ArchiveError::Database`].
pub(super) async fn is_occupied(connection: &mut PgConnection) -> Result<bool, ArchiveError> {
    // A lock on one number of 64 bits stands in pg_locks as its two halves, with objsubid 1.
    sqlx::query_scalar(
        "SELECT EXISTS (
            SELECT FROM pg_catalog.pg_locks AS l
            JOIN pg_catalog.pg_database AS d ON d.oid = l.database
            WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.granted
                AND l.objsubid = 1 AND (l.classid::int8 << 32 | l.objid::int8) = $1
        )",
    )
    .bind(LOCK)
    .persistent(false)
    .fetch_one(connection)
    .await
    .map_err(|error| ArchiveError::database("see whether the restore runs", &error))
}

/// How the session that holds the database connects: under a name that tells it from those that work.
pub(super) fn keeper(options: &PgConnectOptions) -> PgConnectOptions {
    let name = options.get_application_name().unwrap_or_default();
    options.clone().application_name(&format!("{name} keeper"))
}

/// Waits until no session that works for a restore uses the database of `connection`, which holds the lock. `options` is
/// how those that work connect.
///
/// # Errors
/// [`ArchiveError::Database`].
pub(super) async fn settle(
    connection: &mut PgConnection,
    options: &PgConnectOptions,
) -> Result<(), ArchiveError> {
    loop {
        let left: i64 = sqlx::query_scalar(include_str!("sql/settle.sql"))
            .bind(options.get_application_name().unwrap_or_default())
            .persistent(false)
            .fetch_one(&mut *connection)
            .await
            .map_err(|error| ArchiveError::database("end what an earlier invocation left running", &error))?;
        if left == 0 {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
}
