//! Only some of a backup's tables.
//!
//! All that comes before the data is made, and then the tables that are not wanted are dropped with what hangs on them:
//! so Postgres itself says what a wanted table needs. Types and functions stay, whether something is seen to use them
//! or not, because Postgres does not track what the body of a function calls. A table that is needed for its definition
//! alone (a parent in inheritance, a row type) stays without rows.

use std::collections::BTreeSet;

use sqlx::postgres::PgConnectOptions;
use sqlx::{PgConnection, Row};

use super::definitions::connect;
use super::ledger::{Ledger, SCHEMA, Step, mark};
use crate::archive::error::ArchiveError;
use crate::archive::selection::TableName;
use crate::archive::session::{quote_qualified, run};

/// Tables dropped by one statement: each takes locks, and a server has room for some thousands.
const TABLES_PER_DROP: usize = 50;

/// The tables of a staging database, by what becomes of them.
#[derive(Debug, Default)]
pub struct Subset {
    /// Those that are wanted, with their partitions and inheritance children: schema and name.
    wanted: BTreeSet<(String, String)>,
    /// The same, as statements name them.
    wanted_idents: BTreeSet<String>,
    /// Those that stay for their definition alone, as statements name them.
    definitions_only: BTreeSet<String>,
}

impl Subset {
    /// Drops what is not wanted, unless that is done, and tells what is left.
    ///
    /// # Errors
    /// [`ArchiveError::Database`].
    pub(super) async fn keep(
        options: &PgConnectOptions,
        tables: &[String],
        ledger: &Ledger,
    ) -> Result<Self, ArchiveError> {
        let mut connection = connect(options).await?;
        let names: Vec<String> = tables
            .iter()
            .map(|table| {
                let name: TableName = table.parse().map_err(ArchiveError::InvalidRequest)?;
                Ok(quote_qualified(&name.schema, &name.name))
            })
            .collect::<Result<_, ArchiveError>>()?;
        let (subset, unwanted) = read(&mut connection, &names).await?;
        if ledger.has(Step::Subset, "") {
            return Ok(subset);
        }
        let operation = "drop the tables that are not wanted";
        for (foreign, sort) in [(false, "TABLE"), (true, "FOREIGN TABLE")] {
            let of_sort: Vec<&str> =
                unwanted.iter().filter(|(_, is)| *is == foreign).map(|(ident, _)| ident.as_str()).collect();
            for some in of_sort.chunks(TABLES_PER_DROP) {
                // Partitions went with the table that they are a part of.
                let sql = format!("DROP {sort} IF EXISTS {} CASCADE", some.join(", "));
                run(&mut connection, operation, &sql).await?;
            }
        }
        run(&mut connection, operation, &mark(Step::Subset, "")).await?;
        Ok(subset)
    }

    /// Whether the rows of a table are wanted.
    pub(super) fn has(&self, schema: &str, name: &str) -> bool {
        self.wanted.contains(&(schema.to_owned(), name.to_owned()))
    }

    /// Whether a statement's table is wanted.
    pub(super) fn is_wanted(&self, ident: Option<&str>) -> bool {
        ident.is_some_and(|ident| self.wanted_idents.contains(ident))
    }

    /// Why a foreign key cannot hold: it leads to a table that is here without its rows.
    pub(super) fn leads_out(&self, statement: &str) -> Option<String> {
        let to = self
            .definitions_only
            .iter()
            .find(|ident| statement.contains(&format!(" REFERENCES {ident}(")))?;
        Some(format!("it refers to {to}, which is here without its rows"))
    }

    /// The tables that stay for their definition alone.
    pub(super) fn definitions_only(&self) -> impl Iterator<Item = &str> {
        self.definitions_only.iter().map(String::as_str)
    }
}

/// The subset, and the tables that are not part of it: name, and whether it is a foreign table.
async fn read(
    connection: &mut PgConnection,
    names: &[String],
) -> Result<(Subset, Vec<(String, bool)>), ArchiveError> {
    let rows = sqlx::query(include_str!("sql/subset.sql"))
        .bind(names)
        .bind(SCHEMA)
        .persistent(false)
        .fetch_all(connection)
        .await
        .map_err(|error| ArchiveError::database("see which tables are needed", &error))?;
    let (mut subset, mut unwanted) = (Subset::default(), Vec::new());
    for row in rows {
        let ident: String = row.get("ident");
        match row.get("role") {
            "wanted" => {
                subset.wanted.insert((row.get("schema"), row.get("name")));
                subset.wanted_idents.insert(ident);
            }
            "needed" => {
                subset.definitions_only.insert(ident);
            }
            _ => unwanted.push((ident, row.get("is_foreign"))),
        }
    }
    Ok((subset, unwanted))
}
