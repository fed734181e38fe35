//! What a restore would do, and whether it could: nothing is created and no row is read.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::postgres::PgConnectOptions;
use sqlx::{PgConnection, Row};

use super::mask::{Masks, Rule};
use super::order::Order;
use super::staging::{check_name, connect_to_server, database_exists};
use crate::archive::error::ArchiveError;
use crate::archive::manifest::Manifest;
use crate::changes::Replay;

/// What a restore would do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Preview {
    /// Why it would fail; empty where nothing is known that would stop it.
    pub problems: Vec<String>,
    /// The tables whose rows would be restored.
    pub tables: Vec<TablePreview>,
    /// Their rows.
    pub record_count: u64,
    /// Bytes of these rows.
    pub bytes_raw: u64,
    /// Bytes that would be read from the bucket.
    pub bytes_stored: u64,
    /// Objects that would be read, the manifest and the documents among them.
    pub objects: u64,
    /// What would be replayed; absent for a backup as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<ChangesPreview>,
    /// Which columns would be masked, and by which rule.
    pub masked: BTreeMap<String, Rule>,
    /// The server.
    pub target: TargetPreview,
}

/// One table of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TablePreview {
    /// `schema.table`.
    pub table: String,
    /// Its rows.
    pub rows: u64,
    /// Bytes of these rows.
    pub bytes_raw: u64,
    /// The objects that have them, inside the backup's folder.
    pub objects: Vec<String>,
}

/// The changes that lead from the backup to the instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangesPreview {
    /// The segments that would be read.
    pub segments: Vec<String>,
    /// Changes in them: no fewer than would be replayed.
    pub rows_max: u64,
    /// Bytes of them in the bucket.
    pub bytes_stored: u64,
    /// Tables whose changes are not captured: they would be as the backup shows them.
    pub as_of_backup: Vec<String>,
}

/// The server that would be restored to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct TargetPreview {
    /// Host and port.
    pub server: String,
    /// `server_version_num`; null where the server cannot be reached.
    pub postgres_version: Option<i32>,
    /// Whether a database of that name is there already.
    pub database_exists: Option<bool>,
    /// Whether the secret's user may create databases.
    pub may_create_databases: Option<bool>,
}

impl Preview {
    /// Looks at a backup whose listing was checked, and at the server.
    pub(super) async fn of(
        server: &PgConnectOptions,
        order: &Order,
        manifest: &Manifest,
        masks: &Masks,
        replay: Option<&Replay>,
        database: &str,
    ) -> Self {
        let mut problems = Vec::new();
        problems.extend(check_name(database).err().map(|error| error.to_string()));
        let target = match look(server, database).await {
            Ok(target) => target,
            Err(error) => {
                problems.push(error.to_string());
                TargetPreview { server: address(server), ..TargetPreview::default() }
            }
        };
        if target.database_exists == Some(true) {
            problems.push(format!("database {database} exists already: give another target_database"));
        }
        if target.may_create_databases == Some(false) {
            problems.push(format!(
                "the secret's user may not create databases at {}: ALTER ROLE … CREATEDB, or give target_secret, a secret with the URL of another server",
                target.server
            ));
        }
        // 150018 is 15.18.
        if let Some(version) =
            target.postgres_version.filter(|version| version / 10_000 < manifest.postgres_version / 10_000)
        {
            problems.push(format!(
                "the server is Postgres {} and the backup is of {}: definitions of a newer version may fail there",
                version / 10_000,
                manifest.postgres_version / 10_000
            ));
        }
        let tables: Vec<TablePreview> = manifest
            .tables
            .iter()
            .filter(|table| order.wants(table))
            .map(|table| TablePreview {
                table: table.qualified_name(),
                rows: table.row_count,
                bytes_raw: table.parts.iter().map(|part| part.bytes_raw).sum(),
                objects: table.parts.iter().map(|part| part.key.clone()).collect(),
            })
            .collect();
        let parts = manifest.tables.iter().filter(|table| order.wants(table)).flat_map(|table| &table.parts);
        let documents = [&manifest.schema.object, &manifest.instructions, &manifest.summary];
        let masked = masks.columns().iter();
        let of_wanted =
            |column: &str| tables.iter().any(|table| column.starts_with(&format!("{}.", table.table)));
        Self {
            problems,
            record_count: tables.iter().map(|table| table.rows).sum(),
            bytes_raw: tables.iter().map(|table| table.bytes_raw).sum(),
            bytes_stored: documents.iter().map(|object| object.bytes_stored).sum::<u64>()
                + parts.map(|part| part.bytes_stored).sum::<u64>(),
            objects: 1
                + documents.len() as u64
                + tables.iter().map(|table| table.objects.len() as u64).sum::<u64>(),
            changes: replay.map(|replay| ChangesPreview {
                segments: replay.segments.iter().map(|segment| segment.segment_id.clone()).collect(),
                rows_max: replay.rows_max(),
                bytes_stored: replay.bytes_stored(),
                as_of_backup: replay.not_captured.clone(),
            }),
            masked: masked
                .filter(|(column, _)| of_wanted(column))
                .map(|(column, rule)| (column.clone(), *rule))
                .collect(),
            tables,
            target,
        }
    }
}

fn address(server: &PgConnectOptions) -> String {
    format!("{}:{}", server.get_host(), server.get_port())
}

async fn look(server: &PgConnectOptions, database: &str) -> Result<TargetPreview, ArchiveError> {
    let (_, mut connection) = connect_to_server(server).await?;
    let exists = database_exists(&mut connection, database).await?;
    let (postgres_version, may_create) = rights(&mut connection).await?;
    Ok(TargetPreview {
        server: address(server),
        postgres_version: Some(postgres_version),
        database_exists: Some(exists),
        may_create_databases: Some(may_create),
    })
}

async fn rights(connection: &mut PgConnection) -> Result<(i32, bool), ArchiveError> {
    let row = sqlx::query(
        "SELECT current_setting('server_version_num')::int AS version, r.rolsuper OR r.rolcreatedb AS may_create
        FROM pg_catalog.pg_roles AS r
        WHERE r.rolname = current_user",
    )
    .persistent(false)
    .fetch_one(connection)
    .await
    .map_err(|error| ArchiveError::database("see what the secret's user may do", &error))?;
    Ok((row.get("version"), row.get("may_create")))
}
