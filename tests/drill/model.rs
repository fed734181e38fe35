//! What the database held at an instant, told by the database itself at that instant and not by any part of recoup.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use stack::{Error, Result};
use time::OffsetDateTime;

use crate::application::COMMITTING;

/// Rows and digest of each table.
pub type Held = BTreeMap<String, (i64, String)>;

/// An instant, and what every captured table held.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The server's time.
    pub at: OffsetDateTime,
    /// By table.
    pub held: Held,
}

/// Records instants over one connection.
pub struct Recorder {
    connection: PgConnection,
    /// Tables that have rows of their own, as `schema.table`, quoted.
    pub tables: Vec<String>,
    lock: String,
}

impl Recorder {
    /// Connects, and sees which tables are captured.
    ///
    /// # Errors
    /// Postgres' own.
    pub async fn connect(url: &str) -> Result<Recorder> {
        let mut connection =
            PgConnection::connect(url).await.map_err(Error::database("connect to record instants"))?;
        // Who waits in a circle with us is to go on: we try again.
        let captured = "set deadlock_timeout = '20ms'; set lock_timeout = '5s'";
        sqlx::raw_sql(captured).execute(&mut connection).await.map_err(Error::database("set limits"))?;
        let captured = "select c.relation::regclass::text from recoup.captured as c
            join pg_class as r on r.oid = c.relation where r.relkind = 'r' order by 1";
        let tables: Vec<String> = sqlx::query_scalar(captured)
            .fetch_all(&mut connection)
            .await
            .map_err(Error::database("see what is captured"))?;
        // Recoup's own statements commit by themselves, with nothing between their last change and the commit that could
        // be waited for: so nobody writes its tables while an instant is recorded.
        let own: Vec<&str> =
            tables.iter().map(String::as_str).filter(|table| table.starts_with("recoup.")).collect();
        let lock = format!("lock table {} in share mode", own.join(", "));
        Ok(Recorder { connection, tables, lock })
    }

    /// An instant: everything that was committed before it is in what is recorded, and nothing else, though transactions
    /// of the application have begun, and have written, and are not over.
    ///
    /// # Errors
    /// Postgres' own.
    pub async fn record(&mut self) -> Result<Recorded> {
        loop {
            match self.attempt().await {
                Ok(recorded) => return Ok(recorded),
                Err(error) if is_in_the_way(&error) => {
                    let back = format!("rollback; select pg_advisory_unlock({COMMITTING})");
                    sqlx::raw_sql(AssertSqlSafe(back))
                        .execute(&mut self.connection)
                        .await
                        .map_err(Error::database("try again"))?;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(error) => return Err(Error::database("record an instant")(error)),
            }
        }
    }

    async fn attempt(&mut self) -> Result<Recorded, sqlx::Error> {
        let begin = format!("select pg_advisory_lock({COMMITTING}); begin; {}", self.lock);
        sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut self.connection).await?;
        // Neither a change just before nor one just after has the same microsecond.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let (at, held) = read(&mut self.connection, &self.tables).await?;
        tokio::time::sleep(Duration::from_millis(1)).await;
        let end = format!("commit; select pg_advisory_unlock({COMMITTING})");
        sqlx::raw_sql(AssertSqlSafe(end)).execute(&mut self.connection).await?;
        Ok(Recorded { at, held })
    }
}

/// Deadlock, lock timeout.
fn is_in_the_way(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(|error| error.code())
        .is_some_and(|code| code == "40P01" || code == "55P03")
}

/// What tables hold, and the time, in one statement: one snapshot.
async fn read(
    connection: &mut PgConnection,
    tables: &[String],
) -> Result<(OffsetDateTime, Held), sqlx::Error> {
    let digests: Vec<String> = tables
        .iter()
        .map(|table| {
            format!(
                "select '{}' as name, count(*) as rows, coalesce(md5(string_agg(digest, '' order by digest)), '') as digest
                from (select md5(kept::text) as digest from {table} as kept) as digests",
                table.replace('\'', "''")
            )
        })
        .collect();
    let sql = format!("select clock_timestamp() as at, * from ({}) as held", digests.join(" union all "));
    let rows = sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch_all(connection).await?;
    let mut held = Held::new();
    let mut at = OffsetDateTime::UNIX_EPOCH;
    for row in rows {
        at = at.max(row.try_get("at")?);
        held.insert(row.try_get("name")?, (row.try_get("rows")?, row.try_get("digest")?));
    }
    Ok((at, held))
}

/// What the same tables hold in a copy.
///
/// # Errors
/// Postgres' own.
pub async fn held_in(url: &str, tables: &[String]) -> Result<Held> {
    let mut connection = PgConnection::connect(url).await.map_err(Error::database("connect to a copy"))?;
    let (_, held) = read(&mut connection, tables).await.map_err(Error::database("read a copy"))?;
    Ok(held)
}

/// The tables in which two differ, in words.
pub fn differences(recorded: &Held, found: &Held) -> Vec<String> {
    recorded
        .iter()
        .filter(|(table, held)| found.get(*table) != Some(held))
        .map(|(table, held)| format!("{table}: {held:?} recorded, {:?} in the copy", found.get(table)))
        .collect()
}
