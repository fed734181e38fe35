//! Fills `recoup.backups` again from the bucket: what the table says of what is there becomes what the listing says.
//!
//! The table is a cache that people query; nothing restores or verifies by it. So this writes at once, unless it is
//! asked only to show: what it writes over is worth nothing where it differs.

use std::collections::BTreeMap;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, Postgres, Transaction};
use time::OffsetDateTime;

use super::error::ArchiveError;
use super::inventory::{Folder, list_folders};
use super::names::BackupId;
use super::scheduled::is_claimed;
use super::store::ObjectStore;
use crate::db;

/// What the table has of one backup.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
struct Row {
    backup_id: String,
    backup_type: String,
    status: String,
    partial: bool,
    label: Option<String>,
    record_count: Option<i64>,
    file_size_bytes: Option<i64>,
    created_at: Option<OffsetDateTime>,
    completed_at: Option<OffsetDateTime>,
    expires_at: Option<OffsetDateTime>,
}

/// What was changed, or would be.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Rows that were missing.
    pub inserted: Vec<String>,
    /// Rows that said something else than the bucket: id and the columns that did.
    pub corrected: Vec<(String, Vec<&'static str>)>,
    /// Rows of backups that the bucket has no more.
    pub gone: Vec<String>,
    /// Rows of runs that are said to work and do not.
    pub died: Vec<String>,
    /// Rows that were right.
    pub unchanged: usize,
}

/// Compares the table with the bucket, and corrects it unless `dry_run`.
///
/// # Errors
/// [`ArchiveError::Store`]; [`ArchiveError::Database`], with where the table's definition is where it is missing.
pub async fn rebuild(
    store: &impl ObjectStore,
    options: &PgConnectOptions,
    dry_run: bool,
) -> Result<Rebuilt, ArchiveError> {
    let mut connection = db::connect(options).await?;
    // The table first: a backup that is sealed meanwhile is then found in the bucket, and in the table by its own hand.
    let mut running = Vec::new();
    let rows = read_rows(&mut connection).await?;
    for row in rows.iter().filter(|row| row.status == "running") {
        let Ok(id) = row.backup_id.parse::<BackupId>() else { continue };
        if is_claimed(&mut connection, id.digits()).await? {
            running.push(row.backup_id.clone());
        }
    }
    let folders = list_folders(store, "").await?;
    let (rebuilt, right) = compare(rows, &folders, &running);
    if !dry_run {
        write(&mut connection, &rebuilt, &right)
            .await
            .map_err(|error| ArchiveError::database("write recoup.backups", &error))?;
    }
    Ok(rebuilt)
}

async fn read_rows(connection: &mut PgConnection) -> Result<Vec<Row>, ArchiveError> {
    let rows = sqlx::query_as(
        // Infinity is a timestamp in Postgres alone, and none of ours.
        "SELECT backup_id, backup_type, status, partial, label, record_count, file_size_bytes,
            CASE WHEN isfinite(created_at) THEN created_at END AS created_at,
            CASE WHEN isfinite(completed_at) THEN completed_at END AS completed_at,
            CASE WHEN isfinite(expires_at) THEN date_trunc('second', expires_at) END AS expires_at
        FROM recoup.backups",
    )
    .persistent(false)
    .fetch_all(connection)
    .await;
    rows.map_err(|error| {
        let undefined = error.as_database_error().is_some_and(|error| {
            // 42P01 undefined_table, 42703 undefined_column
            error.code().is_some_and(|code| matches!(&*code, "42P01" | "42703"))
        });
        let error = ArchiveError::database("read recoup.backups", &error);
        if !undefined {
            return error;
        }
        let outcome = "The table is not as the migrations make it: create it again as 0004_running.sql and what alters \
                       it say (nothing that it had is needed), then rebuild"
            .to_owned();
        ArchiveError::CleanedUp { error: Box::new(error), outcome }
    })
}

/// What differs, and the rows as they have to be.
fn compare(rows: Vec<Row>, folders: &[Folder], running: &[String]) -> (Rebuilt, Vec<Row>) {
    let mut rows: BTreeMap<String, Row> = rows.into_iter().map(|row| (row.backup_id.clone(), row)).collect();
    let mut rebuilt = Rebuilt::default();
    let mut right = Vec::new();
    for wanted in folders.iter().filter_map(wanted_row) {
        let Some(found) = rows.remove(&wanted.backup_id) else {
            rebuilt.inserted.push(wanted.backup_id.clone());
            right.push(wanted);
            continue;
        };
        let differences = differences(&found, &wanted);
        if differences.is_empty() {
            rebuilt.unchanged += 1;
        } else {
            rebuilt.corrected.push((wanted.backup_id.clone(), differences));
            right.push(wanted);
        }
    }
    for (backup_id, row) in rows {
        match row.status.as_str() {
            "running" if running.contains(&backup_id) => rebuilt.unchanged += 1,
            "running" => rebuilt.died.push(backup_id),
            "completed" => rebuilt.gone.push(backup_id),
            _ => rebuilt.unchanged += 1,
        }
    }
    (rebuilt, right)
}

/// The row of a whole backup.
fn wanted_row(folder: &Folder) -> Option<Row> {
    let count = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let backup = folder.listed()?;
    Some(Row {
        backup_id: backup.backup_id,
        backup_type: backup.backup_type,
        status: "completed".to_owned(),
        partial: backup.partial,
        label: backup.label,
        record_count: backup.record_count.map(count),
        file_size_bytes: Some(count(backup.file_size_bytes)),
        created_at: Some(backup.created_at),
        completed_at: folder.modified_at,
        expires_at: backup.expires_at,
    })
}

fn differences(found: &Row, wanted: &Row) -> Vec<&'static str> {
    [
        ("backup_type", found.backup_type == wanted.backup_type),
        ("status", found.status == wanted.status),
        ("partial", found.partial == wanted.partial),
        ("label", found.label == wanted.label),
        ("record_count", found.record_count == wanted.record_count),
        ("file_size_bytes", found.file_size_bytes == wanted.file_size_bytes),
        ("created_at", found.created_at == wanted.created_at),
        // The moment itself differs by what the store and the database take to write it down.
        ("completed_at", found.completed_at.is_some()),
        ("expires_at", found.expires_at == wanted.expires_at),
    ]
    .into_iter()
    .filter(|(_, equal)| !equal)
    .map(|(column, _)| column)
    .collect()
}

async fn write(connection: &mut PgConnection, rebuilt: &Rebuilt, right: &[Row]) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql("SET LOCAL lock_timeout = '10s'").execute(&mut *transaction).await?;
    for row in right {
        write_row(&mut transaction, row).await?;
    }
    sqlx::query(
        "UPDATE recoup.backups SET status = 'gone' WHERE backup_id = ANY ($1) AND status = 'completed'",
    )
    .bind(&rebuilt.gone)
    .persistent(false)
    .execute(&mut *transaction)
    .await?;
    sqlx::query(
        "UPDATE recoup.backups SET status = 'failed', error = 'the run died without a word'
        WHERE backup_id = ANY ($1) AND status = 'running'",
    )
    .bind(&rebuilt.died)
    .persistent(false)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

async fn write_row(transaction: &mut Transaction<'_, Postgres>, row: &Row) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO recoup.backups (
            backup_id, backup_type, status, label, record_count, file_size_bytes, created_at, completed_at, expires_at,
            window_from, window_to
        )
        -- Names do not say where a window lies, only that there is one.
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, CASE WHEN $10 THEN timestamptz '-infinity' END, CASE WHEN $10 THEN $7 END)
        ON CONFLICT (backup_id) DO UPDATE SET
            backup_type = excluded.backup_type,
            status = excluded.status,
            label = excluded.label,
            record_count = excluded.record_count,
            file_size_bytes = excluded.file_size_bytes,
            created_at = excluded.created_at,
            completed_at = coalesce(backups.completed_at, excluded.completed_at),
            expires_at = excluded.expires_at,
            window_from = CASE WHEN $10 THEN coalesce(backups.window_from, excluded.window_from) END,
            window_to = CASE WHEN $10 THEN coalesce(backups.window_to, excluded.window_to) END,
            error = NULL",
    )
    .bind(&row.backup_id)
    .bind(&row.backup_type)
    .bind(&row.status)
    .bind(&row.label)
    .bind(row.record_count)
    .bind(row.file_size_bytes)
    .bind(row.created_at)
    .bind(row.completed_at)
    .bind(row.expires_at)
    .bind(row.partial)
    .persistent(false)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
