//! A backup in one process: plan, all parts on several connections, seal.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use sqlx::postgres::PgConnectOptions;
use time::OffsetDateTime;
use tokio::task::JoinSet;

use super::encryption::Encryption;
use super::error::ArchiveError;
use super::kind::BackupKind;
use super::manifest::{Manifest, PartEntry};
use super::names::BackupId;
use super::part::{Destination, write_part};
use super::plan::{TablePlan, plan};
use super::record::{BackupRecord, record};
use super::schema::SchemaSelection;
use super::seal::{SealFacts, seal};
use super::selection::{Chosen, Selection, choose};
use super::session::open_reading;
use super::store::{ObjectStore, OpenUploads};

/// What is kept back of the invocation's time to give up cleanly.
const CLEAN_UP_TIME: Duration = Duration::from_secs(10);

/// Whose data goes where.
pub struct BackupSource<S> {
    /// The database.
    pub options: PgConnectOptions,
    /// The bucket.
    pub store: Arc<S>,
    /// To whom it is encrypted.
    pub encryption: Encryption,
    /// Which schemas.
    pub schemas: SchemaSelection,
    /// How many connections read at a time, besides the one that holds the snapshot.
    pub connections: usize,
}

/// A backup that stands in the bucket.
pub struct BackupMade {
    /// Its manifest.
    pub manifest: Manifest,
    /// What went wrong beside it.
    pub warnings: Vec<String>,
}

impl<S: ObjectStore> BackupSource<S> {
    /// Makes a backup of what is selected, kept for `retention`, and records the run.
    ///
    /// # Errors
    /// [`ArchiveError`]. Then no manifest stands, so there is no backup; uploads in pieces are given up.
    pub async fn make(
        &self,
        selection: &Selection,
        label: Option<String>,
        retention: time::Duration,
        deadline: SystemTime,
    ) -> Result<BackupMade, ArchiveError> {
        let started_at = OffsetDateTime::now_utc();
        let expires_at = started_at + retention;
        let destination = Arc::new(Destination {
            store: Arc::clone(&self.store),
            backup_id: BackupId::new(started_at, selection.kind.as_str(), rand::random()),
            encryption: self.encryption.clone(),
            uploads: OpenUploads::default(),
        });
        let backup_id = destination.backup_id.clone();
        let facts = SealFacts {
            label: label.clone(),
            schemas: self.schemas_of(selection),
            selection: None,
            started_at,
            expires_at,
        };
        let time_left =
            deadline.duration_since(SystemTime::now()).unwrap_or_default().saturating_sub(CLEAN_UP_TIME);

        let made = match tokio::time::timeout(time_left, Box::pin(self.write(&destination, selection, facts)))
            .await
        {
            Ok(made) => made,
            Err(_) => Err(ArchiveError::TimeLimit { operation: "back up the database" }),
        };
        let made = match made {
            Ok(manifest) => Ok(manifest),
            Err(error) => Err(give_up(&destination, error).await),
        };
        let reason = made.as_ref().err().map(ToString::to_string);
        let recorded = record(
            &self.options,
            &BackupRecord {
                backup_id: &backup_id,
                label: label.as_deref(),
                window: selection.window.as_ref().map(|window| (window.from, window.to)),
                counts: made.as_ref().ok().map(|manifest| (manifest.totals.rows, manifest.file_size_bytes())),
                expires_at,
                error: reason.as_deref(),
            },
        )
        .await;
        let manifest = made?;
        Ok(BackupMade { manifest, warnings: recorded.err().into_iter().collect() })
    }

    /// The schemas that were asked for, empty for all: those of the configuration limit full backups alone.
    fn schemas_of(&self, selection: &Selection) -> Vec<String> {
        match &self.schemas {
            SchemaSelection::Only(names) if selection.kind == BackupKind::Full => names.clone(),
            _ => Vec::new(),
        }
    }

    async fn write(
        &self,
        destination: &Arc<Destination<S>>,
        selection: &Selection,
        facts: SealFacts,
    ) -> Result<Manifest, ArchiveError> {
        let mut holder = open_reading(&self.options, None).await?;
        let chosen = choose(&mut holder, selection, &self.schemas).await?;
        // What is chosen may lie in any schema.
        let schemas = if chosen.is_some() { &SchemaSelection::All } else { &self.schemas };
        let plan = plan(&mut holder, schemas, chosen.as_ref()).await?;
        tracing::info!(backup_id = %destination.backup_id, tables = plan.tables.len(), "backup planned");

        let parts = self.write_parts(destination, &plan.snapshot.id, &plan.tables).await?;
        // Only now may the snapshot go.
        drop(holder);
        let entry = chosen.map(|Chosen { entry, .. }| entry);
        seal(destination, plan, parts, SealFacts { selection: entry, ..facts }).await
    }

    async fn write_parts(
        &self,
        destination: &Arc<Destination<S>>,
        snapshot: &str,
        tables: &[TablePlan],
    ) -> Result<Vec<Vec<PartEntry>>, ArchiveError> {
        let queue: VecDeque<(usize, usize)> = tables
            .iter()
            .enumerate()
            .flat_map(|(table, plan)| (0..plan.parts.len()).map(move |part| (table, part)))
            .collect();
        let workers = self.connections.min(queue.len());
        let queue = Arc::new(Mutex::new(queue));
        let shared_tables: Arc<[TablePlan]> = tables.into();
        let mut running = JoinSet::new();
        for _ in 0..workers {
            let (queue, tables) = (Arc::clone(&queue), Arc::clone(&shared_tables));
            let (destination, options) = (Arc::clone(destination), self.options.clone());
            let snapshot = snapshot.to_owned();
            running.spawn(async move {
                let mut connection = open_reading(&options, Some(&snapshot)).await?;
                let mut written = Vec::new();
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some((table, number)) = next else { return Ok(written) };
                    let entry = write_part(&mut connection, &destination, &tables[table], number).await?;
                    written.push((table, number, entry));
                }
            });
        }
        // The first failure ends the other workers too, before their uploads are given up.
        let mut written: Vec<(usize, usize, PartEntry)> = Vec::new();
        while let Some(ended) = running.join_next().await {
            let interrupted = |_| ArchiveError::Interrupted { operation: "back up the tables".to_owned() };
            match ended.map_err(interrupted).flatten() {
                Ok(entries) => written.extend(entries),
                Err(error) => {
                    running.shutdown().await;
                    return Err(error);
                }
            }
        }
        written.sort_by_key(|(table, number, _)| (*table, *number));
        let mut by_table = vec![Vec::new(); tables.len()];
        for (table, _, entry) in written {
            by_table[table].push(entry);
        }
        Ok(by_table)
    }
}

/// Gives up what is half uploaded.
async fn give_up<S: ObjectStore>(destination: &Destination<S>, error: ArchiveError) -> ArchiveError {
    let outcome = match destination.uploads.abort_all(&*destination.store).await {
        Ok(()) => format!(
            "Backup {} was not completed: it has no manifest and cannot be taken for a backup",
            destination.backup_id
        ),
        Err(left) => format!(
            "Backup {} was not completed; an upload could not be given up and is removed by the bucket's lifecycle rule: {left}",
            destination.backup_id
        ),
    };
    ArchiveError::CleanedUp { error: Box::new(error), outcome }
}
