//! Sequences, once rows were put in: the next number is one that nobody has had.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::{AssertSqlSafe, FromRow, PgConnection};

use crate::archive::session::{quote_ident, quote_literal, quote_qualified};
use crate::comparison::tables::Table;
use crate::promote::PromoteError;

#[derive(Debug, FromRow)]
struct Use {
    schema: String,
    name: String,
    ascending: bool,
    lowest: i64,
    highest: i64,
    relation: i64,
    column_name: String,
}

/// A sequence that was moved, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// The sequence.
    pub sequence: String,
    /// The last number that it gave out; none where it has given out none.
    pub before: Option<i64>,
    /// The last number that counts as given out now.
    pub after: i64,
}

/// Moves the sequences of tables past their rows, and past what they had given out in the copy. They only move on: where the
/// transaction is rolled back nothing is lost but numbers.
///
/// # Errors
/// [`PromoteError::Archive`].
pub async fn move_on(
    production: &mut PgConnection,
    copy: &mut PgConnection,
    tables: &[&Table],
    dry_run: bool,
) -> Result<Vec<Moved>, PromoteError> {
    let by_oid: BTreeMap<i64, &&Table> = tables.iter().map(|table| (table.oid, table)).collect();
    let oids: Vec<i64> = by_oid.keys().copied().collect();
    let uses: Vec<Use> = sqlx::query_as(include_str!("sql/sequences.sql"))
        .bind(oids)
        .persistent(false)
        .fetch_all(&mut *production)
        .await
        .map_err(|error| PromoteError::database("read the sequences of production", &error))?;
    let mut wanted: BTreeMap<(String, String), (bool, i64)> = BTreeMap::new();
    for used in &uses {
        let Some(table) = by_oid.get(&used.relation) else { continue };
        let furthest = if used.ascending { "max" } else { "min" };
        let column = quote_ident(&used.column_name);
        let sql = format!("SELECT pg_catalog.{furthest}({column})::int8 FROM {}", table.only());
        let in_rows: Option<i64> = scalar(production, &sql, &used.name).await?;
        let in_copy = given_out(copy, &used.schema, &used.name).await?;
        let reached = [in_rows, in_copy].into_iter().flatten();
        let furthest = if used.ascending { reached.max() } else { reached.min() };
        let Some(furthest) = furthest.filter(|value| (used.lowest..=used.highest).contains(value)) else {
            continue;
        };
        let place =
            wanted.entry((used.schema.clone(), used.name.clone())).or_insert((used.ascending, furthest));
        place.1 = if used.ascending { place.1.max(furthest) } else { place.1.min(furthest) };
    }
    let mut moved = Vec::new();
    for ((schema, name), (ascending, after)) in wanted {
        let before = given_out(production, &schema, &name).await?;
        let is_behind = before.is_none_or(|before| if ascending { before < after } else { before > after });
        if !is_behind {
            continue;
        }
        if !dry_run {
            let sql = format!(
                "SELECT pg_catalog.setval({}, {after}, true)",
                quote_literal(&quote_qualified(&schema, &name))
            );
            scalar::<i64>(production, &sql, &name).await?;
        }
        moved.push(Moved { sequence: format!("{schema}.{name}"), before, after });
    }
    Ok(moved)
}

/// The last number that a sequence has given out; none where it has given out none, or is not there.
async fn given_out(
    connection: &mut PgConnection,
    schema: &str,
    name: &str,
) -> Result<Option<i64>, PromoteError> {
    let ident = quote_qualified(schema, name);
    let sql = format!("SELECT pg_catalog.to_regclass({})::oid::int8", quote_literal(&ident));
    if scalar::<Option<i64>>(connection, &sql, name).await?.is_none() {
        return Ok(None);
    }
    scalar(connection, &format!("SELECT CASE WHEN is_called THEN last_value END FROM {ident}"), name).await
}

async fn scalar<T>(connection: &mut PgConnection, sql: &str, sequence: &str) -> Result<T, PromoteError>
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
        .persistent(false)
        .fetch_one(connection)
        .await
        .map_err(|error| PromoteError::database(format!("read sequence {sequence}"), &error))
}
