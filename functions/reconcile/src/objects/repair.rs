//! One object written as Stripe shows it, and committed with what that changed.

use recoup::events::inbox::{CONFLICT_ATTEMPTS_MAX, WriteError, met_another, pause};
use recoup::events::reading::Reading;
use serde_json::{Map, Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use time::OffsetDateTime;

use super::compare::compare;
use super::rows::{Change, Columns, changes, related, rows};

/// Who repairs, and why.
#[derive(Debug, Clone)]
pub struct Sponsor {
    /// A person, or `reconcile`.
    pub actor: String,
    /// What they say.
    pub reason: String,
}

/// What came of it.
#[derive(Debug)]
pub enum Repaired {
    /// These rows changed; none where another object's repair, or a newer event, had done it.
    Changes(Vec<Change>),
    /// The rows refuse it.
    Refused(String),
}

/// Writes an object, and commits it with its entry in the audit log.
///
/// # Errors
/// Why Postgres could not be used.
pub async fn repair(
    connection: &mut PgConnection,
    reading: &mut Reading<'_>,
    known_until: OffsetDateTime,
    sponsor: &Sponsor,
) -> Result<Repaired, WriteError> {
    let mut attempt = 1;
    loop {
        match repair_once(connection, reading, known_until, sponsor).await {
            Ok(changes) => return Ok(Repaired::Changes(changes)),
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
) -> Result<Vec<Change>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let ids = related(&mut transaction, reading, known_until).await?;
    let before = rows(&mut transaction, &ids).await?;
    reading.write(&mut transaction, known_until).await?;
    let changes = changes(before, rows(&mut transaction, &ids).await?);
    if changes.is_empty() {
        transaction.rollback().await?;
        return Ok(changes);
    }
    let missing = changes.iter().any(|change| {
        change.place.table == reading.family.table()
            && change.place.key == reading.id
            && change.before.is_none()
    });
    sqlx::query(
        "insert into recoup.audit_log (actor, action, subject, reason, before, after)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(&sponsor.actor)
    .bind(if missing { "recreate object" } else { "repair object" })
    .bind(format!("{} {}", reading.family.object(), reading.id))
    .bind(&sponsor.reason)
    .bind(audited(&changes, |change| &change.before))
    .bind(audited(&changes, |change| &change.after))
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(changes)
}

/// One side of what changed: by table and key, the columns.
fn audited(changes: &[Change], side: fn(&Change) -> &Option<Columns>) -> Value {
    let mut tables: Columns = Map::new();
    for change in changes {
        if let Some(columns) = side(change) {
            let table = tables.entry(change.place.table.clone()).or_insert_with(|| json!({}));
            table[&change.place.key] = Value::Object(columns.clone());
        }
    }
    Value::Object(tables)
}

/// Whether an object, although it was written, still lacks something here; not where an event of a later second wrote its row.
///
/// # Errors
/// Postgres' own.
pub async fn still_lacks(
    connection: &mut PgConnection,
    reading: &Reading<'_>,
    known_until: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let lacking = compare(connection, reading.family, std::slice::from_ref(reading), known_until).await?;
    if lacking.is_empty() {
        return Ok(false);
    }
    let query = format!("select event_created > $2 from recoup.{} where id = $1", reading.family.table());
    let newer: Option<bool> = sqlx::query_scalar(AssertSqlSafe(query))
        .bind(&reading.id)
        .bind(known_until)
        .fetch_optional(connection)
        .await?;
    Ok(newer != Some(true))
}
