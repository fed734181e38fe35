//! Changes into a table of the staging database. One segment is one transaction.

use std::collections::HashMap;

use sqlx::PgConnection;

use super::Replaying;
use crate::archive::error::ArchiveError;
use crate::archive::format::copy_text::push_escaped;
use crate::archive::restore::ledger::{SCHEMA, Step, mark};
use crate::archive::restore::mask::ChangeMasks;
use crate::archive::session::{begin_writing, run};
use crate::archive::store::ObjectStore;
use crate::changes::{Action, Change, Replay};

/// How many bytes of lines are sent at a time.
const BATCH_BYTES: usize = 256 * 1024;

impl<S: ObjectStore> Replaying<'_, S> {
    /// Loads the changes of every segment that are not there yet.
    ///
    /// # Errors
    /// What reading them comes to; [`ArchiveError::Database`].
    pub(super) async fn load(&self, connection: &mut PgConnection) -> Result<(), ArchiveError> {
        let table = format!(
            "CREATE TABLE IF NOT EXISTS {SCHEMA}.changes (
                id bigint NOT NULL, table_id integer NOT NULL, operation \"char\" NOT NULL, content text
            )"
        );
        run(connection, "make the table of changes", &table).await?;
        let positions: HashMap<(&str, &str), usize> = self
            .replay
            .captured
            .iter()
            .enumerate()
            .filter(|(_, table)| self.subset.is_none_or(|subset| subset.has(&table.schema, &table.name)))
            .map(|(position, table)| ((table.schema.as_str(), table.name.as_str()), position))
            .collect();
        let mut masks = HashMap::new();
        for position in positions.values() {
            let captured = &self.replay.captured[*position];
            let partitions = super::partitions(connection, captured).await?;
            if let Some(of_table) = self.masks.of_changes(captured, &partitions) {
                masks.insert(*position, of_table);
            }
        }
        let tables = Tables { positions, masks };
        for segment in &self.replay.segments {
            if self.ledger.has(Step::Segment, &segment.segment_id) {
                continue;
            }
            let mut alone = self.replay.clone();
            alone.segments = vec![segment.clone()];
            self.load_segment(connection, &alone, &segment.segment_id, &tables).await?;
            tracing::info!(segment_id = segment.segment_id, rows = segment.rows, "changes loaded");
        }
        Ok(())
    }

    async fn load_segment(
        &self,
        connection: &mut PgConnection,
        replay: &Replay,
        segment_id: &str,
        tables: &Tables<'_>,
    ) -> Result<(), ArchiveError> {
        let operation = format!("load the changes of segment {segment_id}");
        let refused = |error: sqlx::Error| ArchiveError::database(&operation, &error);
        let mut changes = replay.stream(std::sync::Arc::clone(self.store), self.identities)?;
        begin_writing(connection).await?;
        let copy_sql = format!("COPY {SCHEMA}.changes (id, table_id, operation, content) FROM STDIN");
        let mut copy = connection.copy_in_raw(&copy_sql).await.map_err(refused)?;
        let mut lines = Vec::new();
        loop {
            let batch = match changes.next_batch().await {
                Ok(Some(batch)) => batch,
                Ok(None) => break,
                Err(error) => {
                    copy.abort("the changes were cut off").await.map_err(refused)?;
                    return Err(error.into());
                }
            };
            for mut change in batch {
                let name = (&*change.table.schema, &*change.table.name);
                let Some(position) = tables.positions.get(&name) else { continue };
                if let Some(masks) = tables.masks.get(position) {
                    masks.mask(&mut change.action).map_err(|why| {
                        let operation = format!("mask the changes of segment {segment_id}: a line {why}");
                        ArchiveError::Interrupted { operation }
                    })?;
                }
                push_line(&change, *position, &mut lines);
            }
            if lines.len() >= BATCH_BYTES
                && let Err(lost) = copy.send(std::mem::take(&mut lines)).await
            {
                return Err(refused(copy.finish().await.err().unwrap_or(lost)));
            }
        }
        if let Err(lost) = copy.send(lines).await {
            return Err(refused(copy.finish().await.err().unwrap_or(lost)));
        }
        copy.finish().await.map_err(refused)?;
        run(connection, &operation, &format!("{} COMMIT", mark(Step::Segment, segment_id))).await
    }
}

/// The tables whose changes are wanted.
struct Tables<'a> {
    /// By schema and name: its position in [`Replay::captured`].
    positions: HashMap<(&'a str, &'a str), usize>,
    /// By that position: how its changes are masked.
    masks: HashMap<usize, ChangeMasks>,
}

/// Writes a change as COPY text: `P` for a row that is put, `D` for one that is gone, `T` for a whole table.
fn push_line(change: &Change, position: usize, lines: &mut Vec<u8>) {
    let (operation, content) = match &change.action {
        Action::Put { row } => ('P', Some(row)),
        Action::Delete { key } => ('D', Some(key)),
        Action::Truncate => ('T', None),
    };
    lines.extend_from_slice(format!("{}\t{position}\t{operation}\t", change.id).as_bytes());
    match content {
        Some(content) => push_escaped(content.as_bytes(), lines),
        None => lines.extend_from_slice(b"\\N"),
    }
    lines.push(b'\n');
}
