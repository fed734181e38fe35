//! Erasures applied to a database, inside a transaction of its caller. Applied again they change nothing more.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, PgConnection, Row};
use time::{Duration, OffsetDateTime};

use super::person::{known, objects_of};
use super::texts::{take_from_audit_log, take_from_events};
use super::{ApplicationRow, Erasure};
use crate::archive::error::DatabaseReason;
use crate::archive::selection::TableName;
use crate::archive::session::{quote_ident, quote_qualified};

/// A transaction that writes an event began at most so long before it commits: what is received within this time of an
/// application is gone through by the next one as well.
const IN_FLIGHT: Duration = Duration::minutes(15);

/// What it came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// How many erasures there are.
    pub erasures: usize,
    /// Customers whose address and name went.
    pub customers: u64,
    /// Events whose texts went.
    pub events: u64,
    /// Entries of the audit log whose texts went.
    pub audit_entries: u64,
    /// Rows of the application's tables that were written.
    pub application_rows: u64,
    /// What could not be applied, and why: it is to be done by hand.
    pub not_applied: Vec<String>,
    /// Tables that may have other rows now: schema and name.
    #[serde(skip)]
    pub written: BTreeSet<(String, String)>,
}

impl Applied {
    /// Whether there was anybody to erase, where everything that is known was erased before.
    pub fn found_somebody(&self) -> bool {
        self.customers + self.events + self.audit_entries > 0
    }
}

/// The tables that there are.
struct Tables {
    customers: bool,
    customers_erased_at: bool,
    events: bool,
    audit_log: bool,
    erasures: bool,
    row_changes: bool,
    objects: bool,
}

/// What is looked for, and in what was received since when.
struct Pass {
    objects: BTreeSet<String>,
    since: OffsetDateTime,
}

/// An erasure, and until when it was applied to this database's events; none where it never was.
type Wanted = (Erasure, Option<OffsetDateTime>);

/// Applies one erasure that is new here. What the database has none of (a copy of some tables, or of an older version) is left
/// out. The caller commits.
///
/// # Errors
/// Postgres' own. A row of the application's that cannot be written is no error: [`Applied::not_applied`] names it.
pub async fn apply(connection: &mut PgConnection, erasure: &Erasure) -> Result<Applied, sqlx::Error> {
    let tables = tables(connection).await?;
    apply_these(connection, &tables, vec![(erasure.clone(), None)]).await
}

/// The same for all that the database itself knows, and for `more`.
///
/// # Errors
/// As [`apply`].
pub async fn apply_all(connection: &mut PgConnection, more: &[Erasure]) -> Result<Applied, sqlx::Error> {
    let tables = tables(connection).await?;
    let known = if tables.erasures { known(connection).await? } else { Vec::new() };
    let known = known.into_iter().map(|(erasure, applied_to)| (erasure, Some(applied_to)));
    let mut wanted: BTreeMap<String, Wanted> =
        more.iter().map(|erasure| (erasure.erasure_id.clone(), (erasure.clone(), None))).collect();
    wanted.extend(known.map(|wanted| (wanted.0.erasure_id.clone(), wanted)));
    apply_these(connection, &tables, wanted.into_values().collect()).await
}

/// The same for a copy that is wanted whatever happens: where Postgres refuses, the copy stays as it is, and
/// [`Applied::not_applied`] says so.
///
/// # Errors
/// Where the connection is lost.
pub async fn apply_to_copy(connection: &mut PgConnection, more: &[Erasure]) -> Result<Applied, sqlx::Error> {
    sqlx::query("savepoint erasures").persistent(false).execute(&mut *connection).await?;
    match apply_all(connection, more).await {
        Err(error) if error.as_database_error().is_some() => {
            sqlx::query("rollback to erasures").persistent(false).execute(&mut *connection).await?;
            let refused = format!("none of the erasures: {}", DatabaseReason::of(&error));
            Ok(Applied { not_applied: vec![refused], ..Applied::default() })
        }
        applied => applied,
    }
}

async fn apply_these(
    connection: &mut PgConnection,
    tables: &Tables,
    mut wanted: Vec<Wanted>,
) -> Result<Applied, sqlx::Error> {
    let mut applied = Applied { erasures: wanted.len(), ..Applied::default() };
    if wanted.is_empty() {
        return Ok(applied);
    }
    let now: OffsetDateTime =
        sqlx::query_scalar("select clock_timestamp()").persistent(false).fetch_one(&mut *connection).await?;
    let silenced = if tables.row_changes { Vec::new() } else { silence_capture(connection).await? };

    let customers: BTreeSet<String> =
        wanted.iter().flat_map(|(erasure, _)| erasure.customers.iter().cloned()).collect();
    if tables.customers {
        applied.customers = take_from_customers(connection, &customers, tables.customers_erased_at).await?;
    }
    // What came since it was last applied may be new objects of theirs: a refund, a dispute.
    let found = if tables.objects { objects_of(connection, &customers).await? } else { BTreeMap::new() };
    for (Erasure { customers, objects, .. }, _) in &mut wanted {
        objects.extend(customers.iter().cloned());
        objects.extend(customers.iter().filter_map(|customer| found.get(customer)).flatten().cloned());
    }
    for pass in passes(&wanted) {
        let objects: Vec<&str> = pass.objects.iter().map(String::as_str).collect();
        if tables.events {
            applied.events += take_from_events(connection, &objects, pass.since).await?;
        }
        if tables.audit_log {
            applied.audit_entries += take_from_audit_log(connection, &objects, pass.since).await?;
        }
    }
    for ours in ["customers", "webhook_events", "audit_log", "erasures"] {
        applied.written.insert(("recoup".to_owned(), ours.to_owned()));
    }
    for (erasure, _) in &wanted {
        for row in &erasure.application_rows {
            match write_row(connection, row).await? {
                Ok((table, rows)) => {
                    applied.application_rows += rows;
                    applied.written.insert((table.schema, table.name));
                }
                Err(reason) => {
                    applied
                        .not_applied
                        .push(format!("{}: a row of {}: {reason}", erasure.erasure_id, row.table));
                }
            }
        }
    }
    if tables.erasures {
        for (erasure, _) in &wanted {
            remember(connection, erasure, now - IN_FLIGHT).await?;
        }
    }
    for again in silenced {
        sqlx::query(AssertSqlSafe(again)).persistent(false).execute(&mut *connection).await?;
    }
    Ok(applied)
}

/// In a copy of some tables nothing takes the changes that its triggers would write, and so no row could be written. They are
/// off until what is given is run, in the same transaction.
async fn silence_capture(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    let rows =
        sqlx::query(include_str!("sql/captures.sql")).persistent(false).fetch_all(&mut *connection).await?;
    let mut again = Vec::new();
    for row in rows {
        let off: String = row.try_get("off")?;
        sqlx::query(AssertSqlSafe(off)).persistent(false).execute(&mut *connection).await?;
        again.push(row.try_get("again")?);
    }
    Ok(again)
}

/// New erasures go through everything, and those that were applied before through what came since.
fn passes(wanted: &[Wanted]) -> Vec<Pass> {
    let objects = |new: bool| -> BTreeSet<String> {
        let of_these = wanted.iter().filter(|(_, applied_to)| applied_to.is_none() == new);
        of_these.flat_map(|(erasure, _)| erasure.objects.iter().cloned()).collect()
    };
    let since = wanted.iter().filter_map(|(_, applied_to)| *applied_to).min();
    [(objects(true), Some(OffsetDateTime::UNIX_EPOCH)), (objects(false), since)]
        .into_iter()
        .filter_map(|(objects, since)| Some(Pass { objects, since: since? }))
        .filter(|pass| !pass.objects.is_empty())
        .collect()
}

async fn tables(connection: &mut PgConnection) -> Result<Tables, sqlx::Error> {
    let row =
        sqlx::query(include_str!("sql/tables.sql")).persistent(false).fetch_one(&mut *connection).await?;
    Ok(Tables {
        customers: row.try_get("customers")?,
        customers_erased_at: row.try_get("customers_erased_at")?,
        events: row.try_get("events")?,
        audit_log: row.try_get("audit_log")?,
        erasures: row.try_get("erasures")?,
        row_changes: row.try_get("row_changes")?,
        objects: row.try_get("objects")?,
    })
}

async fn take_from_customers(
    connection: &mut PgConnection,
    customers: &BTreeSet<String>,
    erased_at: bool,
) -> Result<u64, sqlx::Error> {
    let sql = if erased_at {
        "update recoup.customers set email = null, name = null, erased_at = coalesce(erased_at, now())
         where id = any ($1) and (email is not null or name is not null or erased_at is null)"
    } else {
        "update recoup.customers set email = null, name = null
         where id = any ($1) and (email is not null or name is not null)"
    };
    let customers: Vec<&String> = customers.iter().collect();
    let written = sqlx::query(sql).bind(customers).persistent(false).execute(connection).await?;
    Ok(written.rows_affected())
}

/// Writes a row of the application's; where Postgres refuses, that row alone is left as it was.
async fn write_row(
    connection: &mut PgConnection,
    row: &ApplicationRow,
) -> Result<Result<(TableName, u64), String>, sqlx::Error> {
    let name: TableName = match row.table.parse() {
        Ok(name) => name,
        Err(reason) => return Ok(Err(reason)),
    };
    let table = quote_qualified(&name.schema, &name.name);
    let set: Vec<String> =
        row.set.keys().map(|name| format!("{0} = new_values.{0}", quote_ident(name))).collect();
    let key: Vec<String> =
        row.key.keys().map(|name| format!("kept.{0} = key.{0}", quote_ident(name))).collect();
    let sql = format!(
        "update {table} as kept set {}
         from jsonb_populate_record(null::{table}, $1) as new_values, jsonb_populate_record(null::{table}, $2) as key
         where {}",
        set.join(", "),
        key.join(" and ")
    );
    sqlx::query("savepoint erased_row").persistent(false).execute(&mut *connection).await?;
    let written = sqlx::query(AssertSqlSafe(sql))
        .bind(Json(&row.set))
        .bind(Json(&row.key))
        .persistent(false)
        .execute(&mut *connection)
        .await;
    match written {
        Ok(written) => Ok(Ok((name, written.rows_affected()))),
        Err(error) if error.as_database_error().is_some() => {
            sqlx::query("rollback to erased_row").persistent(false).execute(&mut *connection).await?;
            Ok(Err(DatabaseReason::of(&error).to_string()))
        }
        Err(error) => Err(error),
    }
}

async fn remember(
    connection: &mut PgConnection,
    erasure: &Erasure,
    applied_to: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into recoup.erasures as known (erasure_id, customers, objects, application_rows, erased_at, applied_to)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (erasure_id) do update set objects = excluded.objects, applied_to = excluded.applied_to",
    )
    .bind(&erasure.erasure_id)
    .bind(erasure.customers.iter().collect::<Vec<_>>())
    .bind(erasure.objects.iter().collect::<Vec<_>>())
    .bind(Json(&erasure.application_rows))
    .bind(erasure.erased_at)
    .bind(applied_to)
    .persistent(false)
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn erasure(id: &str, applied_to: Option<OffsetDateTime>) -> Wanted {
        let objects = BTreeSet::from([id.to_owned()]);
        (Erasure::new(datetime!(2026-11-30 10:00 UTC), 0, BTreeSet::new(), objects, Vec::new()), applied_to)
    }

    #[test]
    fn what_is_new_goes_through_everything_and_the_rest_through_what_came_since() {
        let (early, late) = (datetime!(2026-11-01 0:00 UTC), datetime!(2026-11-02 0:00 UTC));
        let wanted = [erasure("new", None), erasure("late", Some(late)), erasure("early", Some(early))];
        let passes = passes(&wanted);
        let found: Vec<(Vec<&String>, OffsetDateTime)> =
            passes.iter().map(|pass| (pass.objects.iter().collect(), pass.since)).collect();
        let names = |names: &[&'static str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let expected = [(names(&["new"]), OffsetDateTime::UNIX_EPOCH), (names(&["early", "late"]), early)];
        let expected: Vec<(Vec<&String>, OffsetDateTime)> =
            expected.iter().map(|(names, since)| (names.iter().collect(), *since)).collect();
        assert_eq!(found, expected);
        assert!(super::passes(&[]).is_empty());
    }
}
