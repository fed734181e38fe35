//! Proof that production has what it was given, before anything of it is committed.

use serde::Serialize;
use sqlx::{AssertSqlSafe, PgConnection};

use super::scope::same_key;
use super::work::Work;
use crate::archive::session::quote_ident;
use crate::comparison::masked::MaskedKey;
use crate::comparison::tables::{row_hash, row_text};
use crate::promote::PromoteError;

/// Keys that a report shows of each conflict.
const SAMPLES_MAX: usize = 5;

/// Rows of the copy that a unique constraint of production keeps out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// As SQL writes it.
    pub table: String,
    /// The unique index, or `another constraint` over an expression or a condition.
    pub constraint: String,
    /// How many rows.
    pub rows: i64,
    /// Some of their keys, masked.
    pub keys: Vec<MaskedKey>,
}

/// What a merge has left of its rows.
#[derive(Debug, Default)]
pub struct Left {
    /// Rows that are not there.
    pub absent: i64,
    /// Rows that are there with other values than they were put in with.
    pub changed: i64,
}

/// Looks for the rows that were to be put in.
///
/// # Errors
/// [`PromoteError::Archive`].
pub async fn look_for_incoming(connection: &mut PgConnection, work: &Work) -> Result<Left, PromoteError> {
    let pair = &work.chosen.pair;
    let sql = format!(
        "SELECT pg_catalog.count(*) FILTER (WHERE p.text IS NULL),
            pg_catalog.count(*) FILTER (WHERE p.text <> {})
        FROM {} AS i
        LEFT JOIN LATERAL (SELECT {} AS text FROM {} AS p WHERE {}) AS p ON true",
        row_text("i", &pair.columns),
        work.incoming,
        row_text("p", &pair.columns),
        pair.production.only(),
        same_key(pair, "p", "i"),
    );
    let (absent, changed) =
        sqlx::query_as(AssertSqlSafe(sql)).persistent(false).fetch_one(connection).await.map_err(
            |error| {
                PromoteError::database(format!("look for the rows of {}", pair.copy.table_name()), &error)
            },
        )?;
    Ok(Left { absent, changed })
}

/// Whether production's rows in scope are the copy's.
///
/// # Errors
/// [`PromoteError::Archive`].
pub async fn is_equal(connection: &mut PgConnection, work: &Work) -> Result<bool, PromoteError> {
    let pair = &work.chosen.pair;
    let digest = |alias: &str, from: &str, condition: &str| {
        let hash = row_hash(alias, &pair.columns);
        format!(
            "(SELECT ROW(pg_catalog.count(*), pg_catalog.sum({hash}))::text FROM {from} AS {alias}{condition})"
        )
    };
    let scope = format!(" WHERE {}", work.chosen.scope.condition("p", pair, &pair.production));
    let sql = format!(
        "SELECT {} = {}",
        digest("p", &pair.production.only(), &scope),
        digest("i", &work.incoming, ""),
    );
    sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false).fetch_one(connection).await.map_err(|error| {
        PromoteError::database(format!("digest the rows of {}", pair.copy.table_name()), &error)
    })
}

/// Names the constraints that keep rows out.
///
/// # Errors
/// [`PromoteError::Archive`].
pub async fn conflicts(
    connection: &mut PgConnection,
    work: &Work,
    absent: i64,
) -> Result<Vec<Conflict>, PromoteError> {
    let pair = &work.chosen.pair;
    let table = pair.copy.table_name().to_string();
    let failed = |error: sqlx::Error| {
        PromoteError::database(format!("find what keeps the rows of {table} out"), &error)
    };
    let indexes: Vec<(String, Vec<String>, Vec<String>)> =
        sqlx::query_as(include_str!("sql/unique_indexes.sql"))
            .bind(pair.production.oid)
            .persistent(false)
            .fetch_all(&mut *connection)
            .await
            .map_err(failed)?;
    let key: Vec<String> = pair.key.iter().map(|column| format!("i.{}::text", quote_ident(column))).collect();
    let absent_rows = format!(
        "FROM {} AS i WHERE NOT EXISTS (SELECT FROM {} AS p WHERE {})",
        work.incoming,
        pair.production.only(),
        same_key(pair, "p", "i"),
    );
    let mut found = Vec::new();
    for (constraint, columns, operators) in indexes {
        // A generated column is not brought over.
        if !columns.iter().all(|column| pair.columns.contains(column)) {
            continue;
        }
        let equal: Vec<String> = columns
            .iter()
            .zip(&operators)
            .map(|(column, operator)| format!("q.{0} {operator} i.{0}", quote_ident(column)))
            .collect();
        let in_the_way = format!(
            "{absent_rows} AND EXISTS (SELECT FROM {} AS q WHERE {})",
            pair.production.only(),
            equal.join(" AND ")
        );
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT pg_catalog.count(*) {in_the_way}")))
            .persistent(false)
            .fetch_one(&mut *connection)
            .await
            .map_err(failed)?;
        if rows == 0 {
            continue;
        }
        let sql = format!("SELECT ARRAY[{}] {in_the_way} ORDER BY 1 LIMIT {SAMPLES_MAX}", key.join(", "));
        let keys: Vec<Vec<Option<String>>> = sqlx::query_scalar(AssertSqlSafe(sql))
            .persistent(false)
            .fetch_all(&mut *connection)
            .await
            .map_err(failed)?;
        let keys = keys.iter().map(|values| MaskedKey::new(&pair.key, values)).collect();
        found.push(Conflict { table: table.clone(), constraint, rows, keys });
    }
    if found.is_empty() {
        let constraint = "another constraint, or a trigger".to_owned();
        found.push(Conflict { table, constraint, rows: absent, keys: Vec::new() });
    }
    Ok(found)
}
