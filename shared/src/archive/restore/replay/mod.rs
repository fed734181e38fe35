//! The changes between a full backup and an instant, on top of the backup's rows.
//!
//! They go to a table of the staging database, segment by segment; then each table's changes are folded to the last one
//! of each key and applied in one transaction: what they touch is deleted, and what is last put there is inserted. There
//! is no index yet, and none is needed, because Postgres joins both with a hash. So the work grows with what changed and
//! the memory of this process does not grow at all.

mod apply;
mod keys;
mod load;
mod sequences;

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, PgConnection};

use super::ledger::{Ledger, SCHEMA, Step, mark};
use super::mask::Masks;
use super::subset::Subset;
use crate::archive::encryption::Identities;
use crate::archive::error::ArchiveError;
use crate::archive::session::{quote_qualified, run};
use crate::archive::store::ObjectStore;
use crate::changes::{CapturedTable, Replay};
use crate::db;

/// A replay on its way into a staging database.
pub(super) struct Replaying<'a, S> {
    /// The database.
    pub(super) options: &'a PgConnectOptions,
    /// The bucket.
    pub(super) store: &'a Arc<S>,
    /// What opens its objects.
    pub(super) identities: &'a Identities,
    /// What leads to the instant.
    pub(super) replay: &'a Replay,
    /// What is done already.
    pub(super) ledger: &'a Ledger,
    /// The tables that are wanted; none for all.
    pub(super) subset: Option<&'a Subset>,
    /// How personal data is masked.
    pub(super) masks: &'a Masks,
}

impl<S: ObjectStore> Replaying<'_, S> {
    /// Brings the rows from where the backup shows them to the instant. The tables have their rows, and no index yet.
    ///
    /// # Errors
    /// [`ArchiveError::Database`]; what reading the changes comes to.
    pub(super) async fn rows(&self) -> Result<(), ArchiveError> {
        let mut connection = db::connect(self.options).await?;
        self.load(&mut connection).await?;
        if !self.ledger.has(Step::Indexed, "") {
            let sql = format!(
                "CREATE UNIQUE INDEX changes_by_table ON {SCHEMA}.changes (table_id, id);
                ANALYZE {SCHEMA}.changes;
                {}",
                mark(Step::Indexed, "")
            );
            run(&mut connection, "order the changes", &sql).await?;
        }
        self.apply(&mut connection).await
    }

    /// Puts sequences behind the highest value that a change brought. Runs when the tables have their indexes. Gives a
    /// warning for each sequence whose place nothing tells.
    ///
    /// # Errors
    /// [`ArchiveError::Database`].
    pub(super) async fn sequences(&self) -> Result<Vec<String>, ArchiveError> {
        let mut connection = db::connect(self.options).await?;
        sequences::advance(&mut connection, self.replay, self.ledger).await
    }

    /// The tables (`schema.table`) whose rows may be others than the backup's, each with how many changes bore its name:
    /// those of a partitioned table may have gone to any of its partitions.
    ///
    /// # Errors
    /// [`ArchiveError::Database`].
    pub(super) async fn changed(&self) -> Result<BTreeMap<String, u64>, ArchiveError> {
        let mut connection = db::connect(self.options).await?;
        let mut changed = BTreeMap::new();
        for (position, changes) in counts(&mut connection).await? {
            let Some(table) = self.replay.captured.get(position) else { continue };
            for (schema, name) in partitions(&mut connection, table).await? {
                changed.entry(format!("{schema}.{name}")).or_insert(0);
            }
            *changed.entry(table.qualified_name()).or_insert(0) += changes;
        }
        Ok(changed)
    }
}

/// The partitions of a table at any depth, and itself where it has some: schema and name.
async fn partitions(
    connection: &mut PgConnection,
    table: &CapturedTable,
) -> Result<Vec<(String, String)>, ArchiveError> {
    sqlx::query_as(include_str!("../sql/partitions.sql"))
        .bind(quote_qualified(&table.schema, &table.name))
        .persistent(false)
        .fetch_all(connection)
        .await
        .map_err(|error| ArchiveError::database("see which partitions were changed", &error))
}

async fn counts(connection: &mut PgConnection) -> Result<BTreeMap<usize, u64>, ArchiveError> {
    let sql = format!("SELECT table_id, count(*) FROM {SCHEMA}.changes GROUP BY table_id");
    let rows: Vec<(i32, i64)> = sqlx::query_as(AssertSqlSafe(sql))
        .persistent(false)
        .fetch_all(connection)
        .await
        .map_err(|error| ArchiveError::database("count the changes", &error))?;
    let counted = rows
        .into_iter()
        .filter_map(|(table, changes)| Some((usize::try_from(table).ok()?, u64::try_from(changes).ok()?)));
    Ok(counted.collect())
}
