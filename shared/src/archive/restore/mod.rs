//! Restore: a backup becomes a database of its own, equal to what was backed up, and proven so.
//!
//! Production is read at the end, to say how it differs, and never written. The staging database carries
//! a comment that says `incomplete` until its digests are proven; whatever fails before drops it, and after a
//! kill the comment tells a person what it is.

mod compare;
mod definitions;
mod leftovers;
mod load;
mod older_server;
mod production;
mod staging;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use sqlx::postgres::PgConnectOptions;

use super::encryption::{Decryption, Identities};
use super::error::{ArchiveError, Damage};
use super::progress::Progress;
use super::reading::{Backup, ReadError};
use super::store::ObjectStore;

pub use compare::{RestoredTable, digest_database};
pub use leftovers::drop_leftovers;
use older_server::OlderServer;
pub use production::{Difference, TableDifference, compare_production};
pub(super) use staging::locale;
pub use staging::{Staging, check_name};

/// What is kept back of the invocation's time to drop the staging database.
const CLEAN_UP_TIME: Duration = Duration::from_secs(20);

/// Where backups are restored.
pub struct RestoreTarget {
    /// The server, by the URL of the production database on it, which need not exist any more.
    pub production: PgConnectOptions,
    /// How many connections load, build indexes and compare at a time.
    pub connections: usize,
}

/// A database that was restored and proven equal.
pub struct Restored {
    /// Its name.
    pub database: String,
    /// Its tables.
    pub tables: Vec<RestoredTable>,
    /// How production differs from it.
    pub difference: Difference,
    /// What is not as it was, and does not concern rows.
    pub warnings: Vec<String>,
    /// How long it took, up to the comparison with production.
    pub elapsed: Duration,
}

/// A database that was rebuilt and proven equal to the backup, and that is still held.
pub struct Rebuilt {
    /// The database.
    pub staging: Staging,
    /// Its tables.
    pub tables: Vec<RestoredTable>,
    /// How long it took.
    pub elapsed: Duration,
}

impl RestoreTarget {
    /// Restores `backup` into a new database `database`, and compares production with it.
    ///
    /// # Errors
    /// As [`Self::rebuild`].
    pub async fn restore<S: ObjectStore>(
        &self,
        backup: Arc<Backup<S>>,
        identities: &Identities,
        restore_id: &str,
        database: &str,
        deadline: SystemTime,
    ) -> Result<Restored, ArchiveError> {
        let rebuilding = self.rebuild(Arc::clone(&backup), identities, restore_id, database, deadline);
        let Rebuilt { mut staging, tables, elapsed } = Box::pin(rebuilding).await?;
        let warnings = std::mem::take(&mut staging.warnings);
        staging.release().await;
        let difference =
            compare_production(&self.production, &backup.manifest, self.connections, deadline).await;
        Ok(Restored { database: database.to_owned(), tables, difference, warnings, elapsed })
    }

    /// Rebuilds `backup` in a new database `database`, and proves it equal.
    ///
    /// # Errors
    /// [`ArchiveError`]. Nothing half done remains: what fails after the database was created drops it,
    /// and the message says whether that succeeded.
    pub async fn rebuild<S: ObjectStore>(
        &self,
        backup: Arc<Backup<S>>,
        identities: &Identities,
        restore_id: &str,
        database: &str,
        deadline: SystemTime,
    ) -> Result<Rebuilt, ArchiveError> {
        let began = Instant::now();
        check_name(database)?;
        let decryption = identities.opening(&backup.manifest)?;
        // Missing and misplaced objects, and damaged definitions, are found before anything is created.
        let damage = backup.check_listing().await?;
        if !damage.is_empty() {
            return Err(backup.damaged(damage));
        }
        let sql = read_definitions(&backup, &decryption).await?;
        check_instructions(&backup).await?;

        let mut staging = Staging::create(&self.production, database, restore_id, &backup.manifest).await?;
        let older_server = OlderServer::of(&backup.manifest, staging.server_version());
        staging.warnings.extend(older_server.map(OlderServer::warning));
        let time_left =
            deadline.duration_since(SystemTime::now()).unwrap_or_default().saturating_sub(CLEAN_UP_TIME);
        let work = Box::pin(self.fill(&staging, &backup, &decryption, &sql));
        let filled = match tokio::time::timeout(time_left, work).await {
            Ok(filled) => filled,
            Err(_) => Err(ArchiveError::TimeLimit { operation: "restore the database" }),
        };
        let (tables, warnings) = match filled {
            Ok(filled) => filled,
            Err(error) => {
                let error = match older_server {
                    Some(older_server) => older_server.explain(error),
                    None => error,
                };
                return Err(staging.drop_after(error).await);
            }
        };
        if let Err(error) = staging.mark_complete(&backup.manifest).await {
            return Err(staging.drop_after(error).await);
        }
        staging.warnings.extend(warnings);
        Ok(Rebuilt { staging, tables, elapsed: began.elapsed() })
    }

    async fn fill<S: ObjectStore>(
        &self,
        staging: &Staging,
        backup: &Arc<Backup<S>>,
        decryption: &Decryption,
        sql: &str,
    ) -> Result<(Vec<RestoredTable>, Vec<String>), ArchiveError> {
        let manifest = &backup.manifest;
        definitions::before_data(&staging.options, manifest, sql).await?;
        let progress = Arc::new(Progress::new("restore", backup.id.as_str(), manifest.totals.bytes_raw));
        progress.watch(load::load(&staging.options, backup, decryption, self.connections, &progress)).await?;
        definitions::set_sequences(&staging.options, manifest).await?;
        definitions::after_data(&staging.options, manifest, sql, self.connections).await?;
        let warnings = definitions::ownership(&staging.options, manifest, sql).await?;
        definitions::analyze(&staging.options).await?;
        let tables =
            compare::prove_equal(&staging.options, &staging.database, manifest, self.connections).await?;
        Ok((tables, warnings))
    }
}

async fn read_definitions<S: ObjectStore>(
    backup: &Backup<S>,
    decryption: &Decryption,
) -> Result<String, ArchiveError> {
    let key = &backup.manifest.schema.object.key;
    let sql = backup.read_definitions(decryption).await.map_err(|error| unreadable(backup, key, error))?;
    match backup.manifest.statement_outside(&sql) {
        None => Ok(sql),
        Some(name) => {
            let reason = format!("it has no statement for {name}");
            Err(backup.damaged(vec![Damage::new(key, reason)]))
        }
    }
}

/// The small objects are not needed here, but a backup with a damaged object is not trusted in part.
async fn check_instructions<S: ObjectStore>(backup: &Backup<S>) -> Result<(), ArchiveError> {
    for object in [&backup.manifest.instructions, &backup.manifest.summary] {
        backup.read_document(object).await.map_err(|error| unreadable(backup, &object.key, error))?;
    }
    Ok(())
}

fn unreadable<S: ObjectStore>(backup: &Backup<S>, key: &str, error: ReadError) -> ArchiveError {
    match error {
        ReadError::Damaged(reason) => backup.damaged(vec![Damage::new(key, reason)]),
        ReadError::Store(error) => error.into(),
        ReadError::CutOff => ArchiveError::Interrupted { operation: format!("read {key}") },
    }
}
