//! One object written as Stripe shows it, and what that changes: exactly, because it is done. A dry run takes it back.

use std::collections::{BTreeMap, BTreeSet};

use recoup::events::inbox::{CONFLICT_ATTEMPTS_MAX, WriteError, met_another, pause};
use recoup::events::reading::{Family, Reading};
use serde_json::{Map, Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use time::OffsetDateTime;

use super::compare::compare;
use super::progress::Later;

/// An object that names more than this is none of Stripe's.
const NAMED_MAX: usize = 4_000;

/// Which event wrote a row and when is no difference.
const BOOKKEEPING: [&str; 4] = ["event_id", "event_created", "event_rank", "needs_refetch"];

/// Who repairs, and why.
#[derive(Debug, Clone)]
pub struct Sponsor {
    /// A person, or `reconcile`.
    pub actor: String,
    /// What they say.
    pub reason: String,
}

/// One row that an object's writing changes.
#[derive(Debug, PartialEq)]
pub struct Change {
    /// The table.
    pub table: String,
    /// The values of its key, separated by commas.
    pub key: String,
    /// The columns that change, before; `None` where the row is new.
    pub before: Option<Map<String, Value>>,
    /// The same after; `None` where the row goes.
    pub after: Option<Map<String, Value>>,
}

/// What came of it.
#[derive(Debug)]
pub enum Repaired {
    /// This changes, or in a dry run would.
    Changes {
        /// The rows.
        changes: Vec<Change>,
        /// The own row of something that it hangs together with differed too.
        with_others: bool,
    },
    /// Nothing changes, and nothing is lacking: another object's repair, or a newer event, did it.
    AsItShouldBe,
    /// Nothing changes, although something is lacking.
    Unchanged,
    /// The rows refuse it.
    Refused(String),
}

/// How an object is written.
pub struct AsIf<'a> {
    /// All is taken back.
    pub dry_run: bool,
    /// These were repaired before: a dry run has it done once more.
    pub repaired: &'a [Later],
    /// The version whose shapes they have.
    pub version: &'a str,
}

type Rows = BTreeMap<(String, String), Map<String, Value>>;

/// Writes an object, says what that changes, and commits it with its entry in the audit log; a dry run rolls back, and so
/// does one that changes nothing. A dry run first writes what it found before and could have to do with it.
///
/// # Errors
/// Why Postgres could not be used.
pub async fn repair(
    connection: &mut PgConnection,
    reading: &mut Reading<'_>,
    known_until: OffsetDateTime,
    sponsor: &Sponsor,
    as_if: &AsIf<'_>,
) -> Result<Repaired, WriteError> {
    let mut attempt = 1;
    loop {
        match repair_once(connection, reading, known_until, sponsor, as_if).await {
            Ok(repaired) => return Ok(repaired),
            Err(error) if attempt < CONFLICT_ATTEMPTS_MAX && met_another(&error) => {
                pause(attempt).await;
                attempt += 1;
            }
            Err(error) => match WriteError::from(error) {
                WriteError::Rejected(reason) => return Ok(Repaired::Refused(reason)),
                error => return Err(error),
            },
        }
    }
}

async fn repair_once(
    connection: &mut PgConnection,
    reading: &mut Reading<'_>,
    known_until: OffsetDateTime,
    sponsor: &Sponsor,
    as_if: &AsIf<'_>,
) -> Result<Repaired, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let ids = related(&mut transaction, reading, known_until).await?;
    let others = as_if.repaired.iter().filter(|other| other.id != reading.id && other.is_among(&ids));
    let others: Vec<&Later> = others.collect();
    let with_others = others.iter().any(|other| other.own);
    if as_if.dry_run {
        for other in others {
            if let Some(mut other_reading) = other.read(as_if.version) {
                other_reading.write(&mut transaction, other.known_until).await?;
            }
        }
    }
    let before = rows(&mut transaction, &ids).await?;
    reading.write(&mut transaction, known_until).await?;
    let after = rows(&mut transaction, &ids).await?;
    let changes = changes(before, after);
    if changes.is_empty() {
        let lacking =
            compare(&mut transaction, reading.family, std::slice::from_ref(reading), known_until).await?;
        let newer = is_newer(&mut transaction, reading, known_until).await?;
        transaction.rollback().await?;
        return Ok(if lacking.is_empty() || newer { Repaired::AsItShouldBe } else { Repaired::Unchanged });
    }
    if as_if.dry_run {
        transaction.rollback().await?;
        return Ok(Repaired::Changes { changes, with_others });
    }
    let missing = changes.iter().any(|change| {
        change.table == reading.family.table() && change.key == reading.id && change.before.is_none()
    });
    let told = |side: fn(&Change) -> &Option<Map<String, Value>>| {
        let mut tables: Map<String, Value> = Map::new();
        for change in &changes {
            if let Some(columns) = side(change) {
                let table = tables.entry(change.table.clone()).or_insert_with(|| json!({}));
                table[&change.key] = Value::Object(columns.clone());
            }
        }
        Value::Object(tables)
    };
    sqlx::query(
        "insert into recoup.audit_log (actor, action, subject, reason, before, after)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(&sponsor.actor)
    .bind(if missing { "recreate object" } else { "repair object" })
    .bind(format!("{} {}", reading.family.object(), reading.id))
    .bind(&sponsor.reason)
    .bind(told(|change| &change.before))
    .bind(told(|change| &change.after))
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(Repaired::Changes { changes, with_others })
}

/// Whether an event of a later second wrote the object's row.
async fn is_newer(
    connection: &mut PgConnection,
    reading: &Reading<'_>,
    known_until: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let query = format!("select event_created > $2 from recoup.{} where id = $1", reading.family.table());
    let newer: Option<bool> = sqlx::query_scalar(AssertSqlSafe(query))
        .bind(&reading.id)
        .bind(known_until)
        .fetch_optional(connection)
        .await?;
    Ok(newer == Some(true))
}

async fn related(
    connection: &mut PgConnection,
    reading: &Reading<'_>,
    now: OffsetDateTime,
) -> Result<Vec<String>, sqlx::Error> {
    let mut named = BTreeSet::from([reading.id.clone()]);
    let whole: Value = serde_json::from_str(reading.object().get()).unwrap_or_default();
    names(&whole, &mut named);
    // A guest's id is ours, and not in Stripe's object.
    names(&reading.row(now).columns, &mut named);
    let item = matches!(reading.family, Family::Product | Family::Price).then_some(reading.id.as_str());
    let ids: Option<Vec<String>> = sqlx::query_scalar(include_str!("sql/related.sql"))
        .bind(named.into_iter().collect::<Vec<_>>())
        .bind(item)
        .fetch_one(connection)
        .await?;
    let mut ids = ids.unwrap_or_default();
    ids.sort_unstable();
    Ok(ids)
}

/// Every text in it that may be an id.
fn names(value: &Value, named: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if named.len() < NAMED_MAX && is_id(text) => {
            named.insert(text.clone());
        }
        Value::Array(items) => items.iter().for_each(|item| names(item, named)),
        Value::Object(fields) => fields.values().for_each(|field| names(field, named)),
        _ => {}
    }
}

fn is_id(text: &str) -> bool {
    text.len() <= 255
        && text.contains('_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

async fn rows(connection: &mut PgConnection, ids: &[String]) -> Result<Rows, sqlx::Error> {
    let found = sqlx::query(include_str!("sql/rows.sql")).bind(ids).fetch_all(connection).await?;
    found
        .into_iter()
        .map(|row| {
            let content: Value = row.try_get("content")?;
            let content = match content {
                Value::Object(columns) => columns,
                _ => Map::new(),
            };
            Ok(((row.try_get("of_table")?, row.try_get("key")?), content))
        })
        .collect()
}

fn changes(before: Rows, mut after: Rows) -> Vec<Change> {
    let mut changes = Vec::new();
    for ((table, key), old) in before {
        match after.remove(&(table.clone(), key.clone())) {
            None => changes.push(Change { table, key, before: Some(kept(old)), after: None }),
            Some(new) => {
                let differs = |column: &&String| {
                    !BOOKKEEPING.contains(&column.as_str()) && old.get(*column) != new.get(*column)
                };
                let columns: Vec<String> = new.keys().filter(differs).cloned().collect();
                if !columns.is_empty() {
                    let of = |row: &Map<String, Value>| {
                        let value = |column: &String| row.get(column).cloned().unwrap_or_default();
                        columns.iter().map(|column| (column.clone(), value(column))).collect()
                    };
                    changes.push(Change { table, key, before: Some(of(&old)), after: Some(of(&new)) });
                }
            }
        }
    }
    let new = |((table, key), row)| Change { table, key, before: None, after: Some(kept(row)) };
    changes.extend(after.into_iter().map(new));
    changes
}

fn kept(mut row: Map<String, Value>) -> Map<String, Value> {
    row.retain(|column, _| !BOOKKEEPING.contains(&column.as_str()));
    row
}
