//! One table's rows: brought over into a table of this transaction, and from there into production.

use sqlx::{AssertSqlSafe, PgConnection};

use super::Way;
use super::choose::Chosen;
use super::scope::same_key;
use super::transfer::transfer;
use crate::archive::session::{quote_ident, run};
use crate::comparison::tables::{Table, row_text};
use crate::promote::PromoteError;

/// A table, with what was brought over of it.
#[derive(Debug)]
pub struct Work {
    /// The table and which rows.
    pub chosen: Chosen,
    /// The copy's rows in scope: those that production lacks, or all of them.
    pub incoming: String,
    /// Where rows of production lie that the copy has not.
    doomed: String,
    /// How many these are.
    pub doomed_rows: i64,
    /// What was put in.
    pub inserted: i64,
    /// What was changed.
    pub updated: i64,
    /// What was deleted.
    pub deleted: i64,
}

impl Work {
    /// Brings rows over. Production is only read, besides two tables that end with its transaction.
    ///
    /// # Errors
    /// [`PromoteError::Archive`].
    pub async fn bring(
        way: Way,
        number: usize,
        chosen: Chosen,
        production: &mut PgConnection,
        copy: &mut PgConnection,
    ) -> Result<Self, PromoteError> {
        let name = chosen.pair.copy.table_name().to_string();
        let mut work = Self {
            incoming: format!("pg_temp.recoup_incoming_{number}"),
            doomed: format!("pg_temp.recoup_doomed_{number}"),
            doomed_rows: 0,
            inserted: 0,
            updated: 0,
            deleted: 0,
            chosen,
        };
        let columns = columns("t", work.pair_columns());
        let (incoming, pair) = (&work.incoming, &work.chosen.pair);
        let make = format!(
            "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {columns} FROM {} AS t WITH NO DATA",
            incoming.trim_start_matches("pg_temp."),
            pair.production.only(),
        );
        run(production, &format!("make room for the copy's rows of {name}"), &make).await?;
        let copy_out = format!(
            "COPY (SELECT {columns} FROM {} AS t WHERE {}) TO STDOUT",
            pair.copy.only(),
            work.chosen.scope.condition("t", pair, &pair.copy),
        );
        let copy_in = format!("COPY {incoming} FROM STDIN");
        transfer(copy, &copy_out, production, &copy_in, &name).await?;
        let operation = format!("compare the rows of {name}");
        if way == Way::MergeMissing {
            let known = format!(
                "DELETE FROM {incoming} AS i WHERE EXISTS (SELECT FROM {} AS p WHERE {})",
                pair.production.only(),
                same_key(pair, "p", "i"),
            );
            run(production, &operation, &known).await?;
        }
        run(production, &operation, &format!("ANALYZE {incoming}")).await?;
        if way == Way::Overwrite {
            let gone = if pair.key.is_empty() {
                String::new()
            } else {
                format!(" AND NOT EXISTS (SELECT FROM {incoming} AS i WHERE {})", same_key(pair, "p", "i"))
            };
            let make = format!(
                "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS
                SELECT p.tableoid AS leaf, p.ctid AS place FROM {} AS p WHERE {}{gone}",
                work.doomed.trim_start_matches("pg_temp."),
                pair.production.only(),
                work.chosen.scope.condition("p", pair, &pair.production),
            );
            run(production, &operation, &make).await?;
            let count = format!("SELECT pg_catalog.count(*) FROM {}", work.doomed);
            work.doomed_rows = sqlx::query_scalar(AssertSqlSafe(count))
                .persistent(false)
                .fetch_one(production)
                .await
                .map_err(|error| PromoteError::database(operation, &error))?;
        }
        Ok(work)
    }

    /// The table in production.
    pub fn table(&self) -> &Table {
        &self.chosen.pair.production
    }

    /// The columns that are written.
    pub fn pair_columns(&self) -> &[String] {
        &self.chosen.pair.columns
    }

    /// Deletes what the copy has not.
    pub fn delete_sql(&self) -> String {
        format!(
            "DELETE FROM {} AS p USING {} AS d WHERE p.ctid = d.place AND p.tableoid = d.leaf RETURNING 1",
            self.table().only(),
            self.doomed,
        )
    }

    /// Changes what the copy has with other values; none where a row is its key.
    pub fn update_sql(&self) -> Option<String> {
        let pair = &self.chosen.pair;
        let always = |column: &str| {
            let place = pair.production.columns.iter().position(|name| name == column);
            place.is_some_and(|place| pair.production.identities_always[place])
        };
        let set: Vec<String> = pair
            .columns
            .iter()
            .filter(|column| !pair.key.contains(column) && !always(column))
            .map(|column| format!("{0} = i.{0}", quote_ident(column)))
            .collect();
        if set.is_empty() || pair.key.is_empty() {
            return None;
        }
        Some(format!(
            "UPDATE {} AS p SET {} FROM {} AS i WHERE {} AND {} <> {} RETURNING 1",
            pair.production.only(),
            set.join(", "),
            self.incoming,
            same_key(pair, "p", "i"),
            row_text("p", &pair.columns),
            row_text("i", &pair.columns),
        ))
    }

    /// Puts in what production lacks. `yields` leaves out what a unique constraint of production refuses.
    pub fn insert_sql(&self, yields: bool) -> String {
        let pair = &self.chosen.pair;
        let missing = if pair.key.is_empty() {
            String::new()
        } else {
            let table = pair.production.only();
            format!(" WHERE NOT EXISTS (SELECT FROM {table} AS p WHERE {})", same_key(pair, "p", "i"))
        };
        // Postgres has no such clause for tables with a constraint that may be checked later.
        let conflict = match yields && !pair.production.has_deferrable_key {
            true => " ON CONFLICT DO NOTHING",
            false => "",
        };
        let names: Vec<String> = pair.columns.iter().map(|column| quote_ident(column)).collect();
        format!(
            "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {} AS i{missing}{conflict} RETURNING 1",
            pair.production.ident(),
            names.join(", "),
            columns("i", &pair.columns),
            self.incoming,
        )
    }
}

fn columns(alias: &str, names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("{alias}.{}", quote_ident(name))).collect();
    names.join(", ")
}

/// Runs several of these as one statement: constraints are checked when it ends. Gives how many rows each has written.
///
/// # Errors
/// [`PromoteError::Archive`].
pub async fn write(
    connection: &mut PgConnection,
    operation: &str,
    statements: &[String],
) -> Result<Vec<i64>, PromoteError> {
    if statements.is_empty() {
        return Ok(Vec::new());
    }
    let parts: Vec<String> =
        statements.iter().enumerate().map(|(number, sql)| format!("w{number} AS ({sql})")).collect();
    let counts: Vec<String> =
        (0..statements.len()).map(|number| format!("(SELECT pg_catalog.count(*) FROM w{number})")).collect();
    let sql = format!("WITH {} SELECT ARRAY[{}]", parts.join(", "), counts.join(", "));
    sqlx::query_scalar(AssertSqlSafe(sql))
        .persistent(false)
        .fetch_one(connection)
        .await
        .map_err(|error| PromoteError::database(operation, &error))
}
