//! Finds a restore by its name: the comment of its database says which it is.

use sqlx::Row;
use sqlx::postgres::PgConnectOptions;

use super::ledger::Ledger;
use super::mark::Mark;
use super::occupancy;
use super::staging::connect_to_server;
use super::standing::Standing;
use crate::archive::error::ArchiveError;
use crate::archive::manifest::Manifest;
use crate::db;
use crate::failure::Failure;

/// A staging database of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub database: String,
    /// What its comment says.
    pub mark: Mark,
}

/// Finds the staging database of restore `wanted`, or with `latest` that of the one that began last.
///
/// # Errors
/// `RestoreNotFound` with those that are there; `DatabaseUnavailable`; [`ArchiveError::Database`].
pub async fn find_restore(server: &PgConnectOptions, wanted: &str) -> Result<Found, ArchiveError> {
    let (_, mut connection) = connect_to_server(server).await?;
    let rows = sqlx::query(
        "SELECT d.datname::text AS database, pg_catalog.shobj_description(d.oid, 'pg_database') AS comment
        FROM pg_catalog.pg_database AS d
        WHERE pg_catalog.shobj_description(d.oid, 'pg_database') IS NOT NULL",
    )
    .persistent(false)
    .fetch_all(&mut connection)
    .await
    .map_err(|error| ArchiveError::database("look for the restore's database", &error))?;
    let mut there: Vec<Found> = rows
        .iter()
        .filter_map(|row| {
            let mark: Mark = row.get::<String, _>("comment").parse().ok()?;
            mark.restore_id.as_ref()?;
            Some(Found { database: row.get("database"), mark })
        })
        .collect();
    // Names of restores sort by time.
    there.sort_by(|one, other| one.mark.restore_id.cmp(&other.mark.restore_id));
    let position = match wanted {
        "latest" => there.len().checked_sub(1),
        id => there.iter().position(|found| found.mark.restore_id.as_deref() == Some(id)),
    };
    if let Some(position) = position {
        return Ok(there.swap_remove(position));
    }
    let known: Vec<&str> = there.iter().filter_map(|found| found.mark.restore_id.as_deref()).collect();
    let known = if known.is_empty() {
        "its server has none; where it fills another server, give that one's target_secret".to_owned()
    } else {
        format!("its server has {}", known.join(", "))
    };
    Err(Failure::new("RestoreNotFound", format!("look for restore {wanted}: no database is of it; {known}"))
        .into())
}

impl Found {
    /// Whether an invocation fills it now.
    ///
    /// # Errors
    /// `DatabaseUnavailable`; [`ArchiveError::Database`].
    pub async fn is_running(&self, server: &PgConnectOptions) -> Result<bool, ArchiveError> {
        let mut connection = db::connect(&server.clone().database(&self.database)).await?;
        occupancy::is_occupied(&mut connection).await
    }

    /// How far it is, of one that is being filled; none where it ended before it had begun.
    ///
    /// # Errors
    /// `DatabaseUnavailable`; [`ArchiveError::Database`].
    pub async fn progress(
        &self,
        server: &PgConnectOptions,
        manifest: &Manifest,
    ) -> Result<Option<Standing>, ArchiveError> {
        let mut connection = db::connect(&server.clone().database(&self.database)).await?;
        let Some(order) = Ledger::order(&mut connection).await? else { return Ok(None) };
        let ledger = Ledger::read(&mut connection).await?;
        Ok(Some(Standing::of(&ledger, manifest, &order)))
    }
}
