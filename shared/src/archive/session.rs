//! Postgres sessions that read and write rows as COPY text, to the byte the same on every server.

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::db;

use super::error::ArchiveError;

/// What text a row becomes depends on these settings, so that both ends of the archive pin them. They
/// are `pg_dump`'s, and `lc_monetary`, without which `money` does not survive another locale.
///
/// `extra_float_digits` above zero means shortest-exact since Postgres 12, so 3 is exact on 14 to 18.
pub const TEXT_SETTINGS: &str = "
    SET LOCAL client_encoding = 'UTF8';
    SET LOCAL DateStyle = 'ISO, MDY';
    SET LOCAL IntervalStyle = 'postgres';
    SET LOCAL TimeZone = 'UTC';
    SET LOCAL extra_float_digits = 3;
    SET LOCAL bytea_output = 'hex';
    SET LOCAL lc_monetary = 'C';
    SET LOCAL xmloption = 'content';
    SET LOCAL search_path = '';
    SET LOCAL row_security = off;
";

/// Nothing waits for ever, and nothing that works is cut off: the invocation's own time limit ends what
/// takes too long. A transaction that sits idle longer than any invocation lives belongs to a sandbox
/// that was frozen, and would hold back vacuum.
const TIME_SETTINGS: &str = "
    SET LOCAL statement_timeout = 0;
    SET LOCAL lock_timeout = '30s';
    SET LOCAL idle_in_transaction_session_timeout = '20min';
    SET LOCAL jit = off;
    SET LOCAL synchronize_seqscans = off;
    SELECT pg_catalog.set_config(name, '0', true)
    FROM pg_catalog.pg_settings
    WHERE name = 'transaction_timeout';
";

/// Opens a connection and begins a transaction that only reads, at its own snapshot or at one that
/// another session exported. All settings end with the transaction, as a pooler needs.
///
/// # Errors
/// `DatabaseUnavailable`; [`ArchiveError::Database`].
pub async fn open_reading(
    options: &PgConnectOptions,
    snapshot: Option<&str>,
) -> Result<PgConnection, ArchiveError> {
    let mut connection = db::connect(options).await?;
    let adopt =
        snapshot.map_or(String::new(), |id| format!("SET TRANSACTION SNAPSHOT {};", quote_literal(id)));
    let begin = format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {adopt}");
    run(&mut connection, "begin to read", &format!("{begin} {TEXT_SETTINGS} {TIME_SETTINGS}")).await?;
    Ok(connection)
}

/// Begins a transaction that writes COPY text.
///
/// # Errors
/// [`ArchiveError::Database`].
pub async fn begin_writing(connection: &mut PgConnection) -> Result<(), ArchiveError> {
    // A restored database is either finished or dropped: waiting for the disk at each commit gains nothing.
    let settings = "SET LOCAL synchronous_commit = off;";
    run(connection, "begin to write", &format!("BEGIN; {TEXT_SETTINGS} {TIME_SETTINGS} {settings}")).await
}

/// Runs statements without parameters as one simple query.
///
/// # Errors
/// [`ArchiveError::Database`] for `operation`.
pub async fn run(connection: &mut PgConnection, operation: &str, sql: &str) -> Result<(), ArchiveError> {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(connection)
        .await
        .map_err(|error| ArchiveError::database(operation, &error))?;
    Ok(())
}

/// A name as it stands in SQL.
pub fn quote_ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `schema.table` as it stands in SQL.
pub fn quote_qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", quote_ident(schema), quote_ident(name))
}

/// A text as it stands in SQL, on one line.
pub fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if !text.contains(['\\', '\n', '\r']) {
        return format!("'{quoted}'");
    }
    format!("E'{}'", quoted.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_are_quoted() {
        assert_eq!(quote_qualified("a.b", r#"we"ird"#), r#""a.b"."we""ird""#);
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal(r"a\'b"), r"E'a\\''b'");
        assert_eq!(quote_literal("a\nb\\n"), r"E'a\nb\\n'");
    }
}
