//! Sequences after a replay. What they gave out is not captured, but where it went to is: a sequence goes behind the
//! highest value that a row of its column has, or had between the backup and the instant.

use std::fmt::Write as _;

use sqlx::{PgConnection, Row};

use super::super::ledger::{Ledger, SCHEMA, Step, mark};
use crate::archive::error::ArchiveError;
use crate::archive::session::{begin_writing, quote_literal, quote_qualified, run};
use crate::changes::Replay;

/// Advances the sequences, unless that is done; gives a warning for each that nothing tells of.
///
/// # Errors
/// [`ArchiveError::Database`].
pub(super) async fn advance(
    connection: &mut PgConnection,
    replay: &Replay,
    ledger: &Ledger,
) -> Result<Vec<String>, ArchiveError> {
    let operation = "put the sequences behind what was changed";
    let rows = sqlx::query(include_str!("../sql/sequences.sql"))
        .bind(SCHEMA)
        .persistent(false)
        .fetch_all(&mut *connection)
        .await
        .map_err(|error| ArchiveError::database(operation, &error))?;
    let changed: Vec<usize> = super::counts(connection).await?.into_keys().collect();
    let mut warnings = Vec::new();
    let mut sql = String::new();
    for row in &rows {
        let sequence: String = row.get("sequence");
        let (Some(table), Some(column)) =
            (row.get::<Option<String>, _>("table"), row.get::<Option<String>, _>("column"))
        else {
            let name = sequence.replace('"', "");
            warnings.push(format!(
                "sequence {name} stands where the backup shows it, for no numeric column takes its values: set it yourself if your application counts with it"
            ));
            continue;
        };
        let (highest, higher) = if row.get("goes_down") { ("min", "<") } else { ("max", ">") };
        let mut values = vec![format!("SELECT {highest}({column})::bigint FROM {table}")];
        for position in &changed {
            let of = &replay.captured[*position];
            let ident = quote_qualified(&of.schema, &of.name);
            if ident == table {
                values.push(format!(
                    "SELECT {highest}((c.content::{ident}).{column})::bigint FROM {SCHEMA}.changes AS c
                    WHERE c.table_id = {position} AND c.operation = 'P'"
                ));
            }
        }
        let (least, most): (i64, i64) = (row.get("least"), row.get("most"));
        let _ = write!(
            sql,
            "SELECT pg_catalog.setval({}, f.value, true)
            FROM (SELECT {highest}(v.value) FROM ({}) AS v (value)) AS f (value)
            CROSS JOIN {sequence} AS s
            WHERE f.value BETWEEN {least} AND {most}
                AND (f.value {higher} s.last_value OR (f.value = s.last_value AND NOT s.is_called));\n",
            quote_literal(&sequence),
            values.join(" UNION ALL ")
        );
    }
    if !ledger.has(Step::Advanced, "") {
        begin_writing(connection).await?;
        run(connection, operation, &format!("{sql}{} COMMIT", mark(Step::Advanced, ""))).await?;
    }
    Ok(warnings)
}
