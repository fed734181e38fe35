//! Step three of a backup, *seal*: definitions, instructions, summary, and last the manifest.
//!
//! Until the manifest stands there is no backup: a run that ends before leaves objects that nothing
//! names, and that prune removes.

use bytes::Bytes;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::digest::TableDigest;
use super::encode::encrypt_document;
use super::error::ArchiveError;
use super::instructions::instructions;
use super::manifest::{
    FORMAT_VERSION, MANIFEST, Manifest, PartEntry, SchemaEntry, SelectionEntry, StatementEntry, StoredObject,
    TableEntry, Totals,
};
use super::part::Destination;
use super::plan::Plan;
use super::schema::SchemaDump;
use super::store::ObjectStore;
use super::summary::Summary;

/// What the manifest says besides what was read.
pub struct SealFacts {
    /// What the operator called it.
    pub label: Option<String>,
    /// The schemas that were asked for; empty for all.
    pub schemas: Vec<String>,
    /// Which part of the database it is; none for all of these schemas.
    pub selection: Option<SelectionEntry>,
    /// When the work began.
    pub started_at: OffsetDateTime,
    /// From when on it may be pruned.
    pub expires_at: OffsetDateTime,
}

/// Makes the backup exist: writes what is not a part, and the manifest last. `parts` has each table's
/// entries in the order of the plan.
///
/// # Errors
/// [`ArchiveError::Store`], [`ArchiveError::Encryption`].
pub async fn seal<S: ObjectStore>(
    destination: &Destination<S>,
    plan: Plan,
    parts: Vec<Vec<PartEntry>>,
    facts: SealFacts,
) -> Result<Manifest, ArchiveError> {
    let finished_at = OffsetDateTime::now_utc();
    let tables: Vec<TableEntry> = plan
        .tables
        .into_iter()
        .zip(parts)
        .map(|(table, parts)| {
            let mut sum = TableDigest::default();
            parts.iter().for_each(|part| sum.add(part.table_digest()));
            let TableDigest { rows: row_count, sum: digest } = sum;
            TableEntry {
                schema: table.schema,
                name: table.name,
                columns: table.columns,
                row_count,
                digest,
                parts,
            }
        })
        .collect();
    let rows = tables.iter().map(|table| table.row_count).sum();

    let schema = &plan.definitions;
    let sql = schema.to_sql();
    let encryption = &destination.encryption;
    let stored_sql = encrypt_document(sql.as_bytes(), encryption)?;
    let schema_key = format!("schema.sql{}", encryption.suffix());
    let schema_object = put(destination, &schema_key, stored_sql, sql.len()).await?;

    let partial = facts.selection.as_ref().is_some_and(|selection| selection.window.is_some());
    let summary = Summary { rows, expires_at: facts.expires_at, partial, label: facts.label.clone() }.key();
    let text = format!("{summary}\n").into_bytes();
    let text_bytes = text.len();
    let summary = put(destination, &summary, text, text_bytes).await?;

    let mut manifest = Manifest {
        format_version: FORMAT_VERSION,
        backup_id: destination.backup_id.to_string(),
        backup_type: destination.backup_id.backup_type().to_owned(),
        partial,
        label: facts.label,
        recoup_version: env!("CARGO_PKG_VERSION").to_owned(),
        postgres_version: plan.postgres_version,
        database: plan.database,
        schemas: facts.schemas,
        selection: facts.selection,
        snapshot: plan.snapshot,
        changes: plan.changes,
        started_at: facts.started_at,
        finished_at,
        expires_at: facts.expires_at,
        table_format: destination.format,
        compression: "zstd".to_owned(),
        encryption: encryption.describe(),
        schema: SchemaEntry { object: schema_object, statements: statements(schema, &sql) },
        instructions: StoredObject {
            key: "RESTORE.md".to_owned(),
            bytes_raw: 0,
            bytes_stored: 0,
            sha256: String::new(),
        },
        summary,
        tables,
        sequences: plan.sequences,
        unsupported: schema.unsupported.iter().map(unsupported).collect(),
        totals: Totals::default(),
        content_sha256: String::new(),
    };
    let text = instructions(&manifest).into_bytes();
    let text_bytes = text.len();
    manifest.instructions = put(destination, "RESTORE.md", text, text_bytes).await?;
    manifest.totals = manifest.sum_totals();

    let bytes = manifest.to_bytes();
    put(destination, MANIFEST, bytes, 0).await?;
    Ok(manifest)
}

async fn put<S: ObjectStore>(
    destination: &Destination<S>,
    key: &str,
    stored: Vec<u8>,
    bytes_raw: usize,
) -> Result<StoredObject, ArchiveError> {
    let sha256: [u8; 32] = Sha256::digest(&stored).into();
    let bytes_stored = stored.len() as u64;
    destination.store.put_new(&destination.backup_id.key(key), Bytes::from(stored), sha256).await?;
    Ok(StoredObject {
        key: key.to_owned(),
        bytes_raw: bytes_raw as u64,
        bytes_stored,
        sha256: hex::encode(sha256),
    })
}

/// One line about something that is not carried.
fn unsupported(missing: &super::schema::Unsupported) -> String {
    format!("{} {}: {}", missing.kind, missing.name, missing.why)
}

/// Where each statement lies in `sql`, which [`SchemaDump::to_sql`] wrote.
fn statements(schema: &SchemaDump, sql: &str) -> Vec<StatementEntry> {
    let lists = [&schema.pre_data, &schema.post_data, &schema.ownership];
    let mut entries = Vec::with_capacity(lists.iter().map(|list| list.len()).sum());
    let mut position = 0;
    for list in lists {
        let first = entries.len();
        for statement in list {
            let text = statement.to_string();
            let at = sql[position..].find(&text).expect("to_sql writes every statement in order");
            let offset = position + at;
            position = offset + text.len();
            let name = match &statement.schema {
                Some(schema) => format!("{schema}.{}", statement.name),
                None => statement.name.clone(),
            };
            entries.push(StatementEntry {
                phase: statement.phase,
                kind: statement.kind,
                name,
                table: statement.table.clone(),
                after: statement.after.iter().map(|other| first + other).collect(),
                offset: offset as u64,
                bytes: text.len() as u64,
            });
        }
    }
    entries
}
