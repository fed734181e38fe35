//! What is captured at a snapshot, and across what of its history no replay goes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;

use super::manifest::{Barrier, BarrierKind, CapturedTable};
use super::snapshot::TransactionSnapshot;
use crate::archive::ArchiveError;
use crate::archive::manifest::Column;

/// A captured table as the catalog shows it.
#[derive(Debug, Clone, FromRow)]
pub(super) struct Definition {
    pub(super) table_id: i32,
    schema_name: String,
    table_name: String,
    key_columns: Vec<String>,
    read_at_export: Vec<String>,
    captured_at: OffsetDateTime,
    captured_xid: i64,
    names: Vec<String>,
    types: Vec<String>,
    fingerprint: String,
    /// The low halves of the ids of the transactions that wrote it.
    xids: Vec<Option<i64>>,
}

/// What is kept of a definition, to find out whether it changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    table: String,
    fingerprint: String,
}

/// Definitions by `captured_tables.id`.
pub(super) type KeptDefinitions = BTreeMap<i32, Kept>;

/// The segment before, as far as definitions go.
pub(super) struct Before<'b> {
    pub(super) definitions: &'b KeptDefinitions,
    pub(super) snapshot: &'b TransactionSnapshot,
    pub(super) taken_at: OffsetDateTime,
}

/// Reads what is captured, at the snapshot of the connection's transaction.
///
/// # Errors
/// [`ArchiveError::Database`].
pub(super) async fn read(connection: &mut PgConnection) -> Result<Vec<Definition>, ArchiveError> {
    sqlx::query_as(include_str!("sql/captured_tables.sql"))
        .persistent(false)
        .fetch_all(connection)
        .await
        .map_err(|error| ArchiveError::database("read which tables are captured", &error))
}

impl Definition {
    fn qualified_name(&self) -> String {
        format!("{}.{}", self.schema_name, self.table_name)
    }

    fn kept(&self) -> Kept {
        Kept { table: self.qualified_name(), fingerprint: self.fingerprint.clone() }
    }

    /// As it stands in a manifest.
    pub(super) fn entry(&self) -> CapturedTable {
        let columns = self.names.iter().zip(&self.types);
        CapturedTable {
            schema: self.schema_name.clone(),
            name: self.table_name.clone(),
            key: self.key_columns.clone(),
            columns: columns
                .map(|(name, data_type)| Column { name: name.clone(), data_type: data_type.clone() })
                .collect(),
            read_at_export: self.read_at_export.clone(),
        }
    }
}

/// Those that are as they were in the segment before: the rows of its changes have the columns that they have now.
pub(super) fn unchanged<'d>(definitions: &'d [Definition], before: &KeptDefinitions) -> Vec<&'d Definition> {
    let is_same = |definition: &&Definition| before.get(&definition.table_id) == Some(&definition.kept());
    definitions.iter().filter(is_same).collect()
}

/// What is to be kept of definitions.
pub(super) fn keep(definitions: &[Definition]) -> KeptDefinitions {
    definitions.iter().map(|definition| (definition.table_id, definition.kept())).collect()
}

/// What happened to definitions since the segment before. Where the catalog does not say which transaction did it, it
/// may have been at any moment since then.
pub(super) fn barriers(
    definitions: &[Definition],
    snapshot: &TransactionSnapshot,
    before: &Before<'_>,
) -> Vec<Barrier> {
    let mut found = Vec::new();
    let mut gone = before.definitions.clone();
    for definition in definitions {
        let table = definition.qualified_name();
        let barrier = |xid, at, kind| Barrier { xid, at, table: table.clone(), kind };
        match gone.remove(&definition.table_id) {
            None => {
                let xid = definition.captured_xid.cast_unsigned();
                let is_new = !before.snapshot.sees(xid) && snapshot.sees(xid);
                found.push(match is_new {
                    true => barrier(Some(xid), definition.captured_at, BarrierKind::CaptureBegan),
                    // It was switched off, and is on again.
                    false => barrier(None, before.taken_at, BarrierKind::CaptureBegan),
                });
            }
            Some(kept) if kept == definition.kept() => {}
            Some(_) => {
                let new = definition.xids.iter().flatten().map(|low| snapshot.whole_id(*low));
                let new: Vec<u64> = new.filter(|xid| !before.snapshot.sees(*xid)).collect();
                let kind = BarrierKind::DefinitionChanged;
                match new.is_empty() {
                    true => found.push(barrier(None, before.taken_at, kind)),
                    false => {
                        found.extend(new.iter().map(|xid| barrier(Some(*xid), before.taken_at, kind)));
                    }
                }
            }
        }
    }
    found.extend(gone.into_values().map(|kept| Barrier {
        xid: None,
        at: before.taken_at,
        table: kept.table,
        kind: BarrierKind::CaptureEnded,
    }));
    found.sort_by(|one, other| (one.at, &one.table).cmp(&(other.at, &other.table)));
    found
}
