//! The rows that an object can touch, and what changed in them.

use std::collections::{BTreeMap, BTreeSet};

use recoup::events::reading::{Family, Reading};
use serde_json::{Map, Value};
use sqlx::{PgConnection, Row};
use time::OffsetDateTime;

/// An object that names more than this is none of Stripe's.
const NAMED_MAX: usize = 4_000;

/// Which event wrote a row and when is no difference.
const BOOKKEEPING: [&str; 4] = ["event_id", "event_created", "event_rank", "needs_refetch"];

/// Columns by which one row leads to another.
const LINKS: [&str; 8] = [
    "id",
    "customer_id",
    "payment_id",
    "charge_id",
    "invoice_id",
    "subscription_id",
    "billed_as",
    "source_id",
];

/// The columns of a row.
pub type Columns = Map<String, Value>;

/// Where a row stands: its table, and the values of its key, separated by commas.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub table: String,
    pub key: String,
}

impl Place {
    /// As findings name it.
    pub fn name(&self) -> String {
        format!("{}[{}]", self.table, self.key)
    }
}

/// A row, and the object of Stripe's whose row or part it is.
#[derive(Debug)]
pub struct Kept {
    pub object: Family,
    pub owner: String,
    pub columns: Columns,
}

/// Rows by their places.
pub type Rows = BTreeMap<Place, Kept>;

/// One row that changes.
#[derive(Debug, PartialEq)]
pub struct Change {
    pub place: Place,
    /// The object whose row or part it is.
    pub object: Family,
    /// Its id.
    pub owner: String,
    /// The columns that change, before; `None` where the row is new.
    pub before: Option<Columns>,
    /// The same after; `None` where the row goes.
    pub after: Option<Columns>,
}

/// Rows that hang on any of these ids.
///
/// # Errors
/// Postgres' own.
pub async fn rows(connection: &mut PgConnection, ids: &[String]) -> Result<Rows, sqlx::Error> {
    let found = sqlx::query(include_str!("sql/rows.sql")).bind(ids).fetch_all(connection).await?;
    found
        .into_iter()
        .map(|row| {
            let columns = match row.try_get("content")? {
                Value::Object(columns) => columns,
                _ => Map::new(),
            };
            let place = Place { table: row.try_get("of_table")?, key: row.try_get("key")? };
            let object = Family::of_object(row.try_get("object")?)
                .ok_or_else(|| sqlx::Error::Protocol("a row of no family".to_owned()))?;
            Ok((place, Kept { object, owner: row.try_get("owner")?, columns }))
        })
        .collect()
}

/// What changed between the two.
pub fn changes(before: Rows, mut after: Rows) -> Vec<Change> {
    let mut changes = Vec::new();
    for (place, old) in before {
        let Some(new) = after.remove(&place) else {
            let Kept { object, owner, columns } = old;
            changes.push(Change { place, object, owner, before: Some(told(columns)), after: None });
            continue;
        };
        let differs = |column: &&String| {
            !BOOKKEEPING.contains(&column.as_str()) && old.columns.get(*column) != new.columns.get(*column)
        };
        let columns: Vec<&String> = new.columns.keys().filter(differs).collect();
        if columns.is_empty() {
            continue;
        }
        let of = |row: &Columns| {
            let value = |column: &&String| row.get(*column).cloned().unwrap_or_default();
            Some(columns.iter().map(|column| ((*column).clone(), value(column))).collect())
        };
        let (before, after) = (of(&old.columns), of(&new.columns));
        changes.push(Change { place, object: new.object, owner: new.owner, before, after });
    }
    changes.extend(after.into_iter().map(|(place, Kept { object, owner, columns })| Change {
        place,
        object,
        owner,
        before: None,
        after: Some(told(columns)),
    }));
    changes
}

fn told(mut columns: Columns) -> Columns {
    columns.retain(|column, _| !BOOKKEEPING.contains(&column.as_str()));
    columns
}

/// The ids of all rows that an object can touch, sorted; as the rows are now.
///
/// # Errors
/// Postgres' own.
pub async fn related(
    connection: &mut PgConnection,
    reading: &Reading<'_>,
    now: OffsetDateTime,
) -> Result<Vec<String>, sqlx::Error> {
    let item = matches!(reading.family, Family::Product | Family::Price).then_some(reading.id.as_str());
    let ids: Option<Vec<String>> = sqlx::query_scalar(include_str!("sql/related.sql"))
        .bind(named(reading, now).into_iter().collect::<Vec<_>>())
        .bind(item)
        .fetch_one(connection)
        .await?;
    let mut ids = ids.unwrap_or_default();
    ids.sort_unstable();
    Ok(ids)
}

/// Every text that may be an id: in the object, and in what our row should hold (a guest's id is ours).
pub fn named(reading: &Reading<'_>, now: OffsetDateTime) -> BTreeSet<String> {
    let mut named = BTreeSet::from([reading.id.clone()]);
    let whole: Value = serde_json::from_str(reading.object().get()).unwrap_or_default();
    collect_ids(&whole, &mut named);
    collect_ids(&reading.row(now).columns, &mut named);
    named
}

/// The ids by which the object's row leads to others: few, and none that strangers share, as a price is.
pub fn links(reading: &Reading<'_>, now: OffsetDateTime) -> BTreeSet<String> {
    let row = reading.row(now);
    let mut links = BTreeSet::from([reading.id.clone()]);
    for part in std::iter::once(&row.columns).chain(&row.parts).chain(&row.entries) {
        let values = LINKS.iter().filter_map(|column| part.get(column)?.as_str());
        links.extend(values.map(str::to_owned));
    }
    links
}

fn collect_ids(value: &Value, ids: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if ids.len() < NAMED_MAX && is_id(text) => {
            ids.insert(text.clone());
        }
        Value::Array(items) => items.iter().for_each(|item| collect_ids(item, ids)),
        Value::Object(fields) => fields.values().for_each(|field| collect_ids(field, ids)),
        _ => {}
    }
}

fn is_id(text: &str) -> bool {
    text.len() <= 255
        && text.contains('_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}
