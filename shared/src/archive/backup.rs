//! A backup in one process: plan, all parts on several connections, seal.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use time::OffsetDateTime;
use tokio::task::JoinSet;

use super::backup_progress::{self, Reached};
use super::encryption::Encryption;
use super::error::ArchiveError;
use super::format::TableFormat;
use super::inventory::Folder;
use super::kind::BackupKind;
use super::manifest::{Manifest, PartEntry};
use super::names::BackupId;
use super::part::{Destination, write_part};
use super::plan::{TablePlan, lock_to_read, plan, prove_held};
use super::queue::Queue;
use super::record::{BackupRecord, record};
use super::scheduled;
use super::schema::SchemaSelection;
use super::seal::{SealFacts, seal};
use super::selection::{Chosen, Selection, choose};
use super::session::open_reading;
use super::stop::Stop;
use super::store::{ObjectStore, OpenUploads, StoreError, StoreErrorKind};
use super::summary::ListedBackup;
use crate::changes::link;

/// What is kept back of the invocation's time to give up cleanly.
const CLEAN_UP_TIME: Duration = Duration::from_secs(10);

/// How long what is under way at the store is waited for when a backup ends early.
const STOP_TIME: Duration = Duration::from_secs(2);

/// Whose data goes where.
pub struct BackupSource<S> {
    /// The database.
    pub options: PgConnectOptions,
    /// The bucket.
    pub store: Arc<S>,
    /// How hard rows are compressed.
    pub zstd_level: i32,
    /// To whom it is encrypted.
    pub encryption: Encryption,
    /// Which schemas.
    pub schemas: SchemaSelection,
    /// How many connections read at a time, besides the one that holds the snapshot.
    pub connections: usize,
}

/// What is asked for.
pub struct Wanted {
    /// Which part of the database.
    pub selection: Selection,
    /// What the operator calls it.
    pub label: Option<String>,
    /// How rows are written.
    pub format: TableFormat,
    /// How long it is kept.
    pub retention: time::Duration,
    /// The time that a schedule meant: then several deliveries of the same make one backup.
    pub scheduled_at: Option<OffsetDateTime>,
}

/// What came of it.
pub enum Outcome {
    /// A backup that stands in the bucket.
    Made(Box<BackupMade>),
    /// Another delivery of the same scheduled invocation made it.
    Duplicate(ListedBackup),
    /// Another delivery of the same scheduled invocation is at work.
    Running {
        /// Its backup, as far as it is to be seen already.
        backup_id: Option<BackupId>,
    },
}

/// A backup that stands in the bucket.
pub struct BackupMade {
    /// Its manifest.
    pub manifest: Manifest,
    /// What went wrong beside it.
    pub warnings: Vec<String>,
}

/// What one run comes to before it is recorded.
enum Run {
    Made(Box<Manifest>),
    Duplicate(ListedBackup),
    Running(Option<BackupId>),
}

impl<S: ObjectStore> BackupSource<S> {
    /// Makes a backup of what is selected, and records the run.
    ///
    /// # Errors
    /// [`ArchiveError`]. Then no manifest stands, so there is no backup; uploads in pieces are given up.
    pub async fn make(&self, wanted: Wanted, deadline: SystemTime) -> Result<Outcome, ArchiveError> {
        let selection = &wanted.selection;
        let backup_type = selection.kind.as_str();
        let started_at = OffsetDateTime::now_utc();
        let expires_at = started_at + wanted.retention;
        let digits = match wanted.scheduled_at {
            Some(scheduled_at) => scheduled::digits(backup_type, scheduled_at, started_at)?,
            None => rand::random(),
        };
        let destination = Arc::new(Destination {
            store: Arc::clone(&self.store),
            backup_id: BackupId::new(started_at, backup_type, digits),
            format: wanted.format,
            zstd_level: self.zstd_level,
            encryption: self.encryption.clone(),
            uploads: OpenUploads::default(),
            progress: Arc::default(),
            stop: Stop::default(),
        });
        let facts = SealFacts {
            label: wanted.label.clone(),
            schemas: self.schemas_of(selection),
            selection: None,
            started_at,
            expires_at,
        };
        let time_left =
            deadline.duration_since(SystemTime::now()).unwrap_or_default().saturating_sub(CLEAN_UP_TIME);

        // Its transaction holds the snapshot and the lock that says that this run works: it outlives the work.
        let mut holder = None;
        let mut work = Box::pin(self.run(&destination, &wanted, facts, &mut holder));
        let made = match tokio::time::timeout(time_left, &mut work).await {
            Ok(made) => made,
            Err(_) => {
                destination.stop.ask();
                match tokio::time::timeout(STOP_TIME, &mut work).await {
                    // It was whole in the last moment.
                    Ok(Ok(made)) => Ok(made),
                    _ => Err(ArchiveError::TimeLimit { operation: "back up the database" }),
                }
            }
        };
        drop(work);
        let made = match made {
            Ok(Run::Duplicate(backup)) => return Ok(Outcome::Duplicate(backup)),
            Ok(Run::Running(backup_id)) => return Ok(Outcome::Running { backup_id }),
            Ok(Run::Made(manifest)) => Ok(*manifest),
            Err(error) => Err(give_up(&destination, error).await),
        };
        let reason = made.as_ref().err().map(ToString::to_string);
        let entry = BackupRecord {
            backup_id: &destination.backup_id,
            label: wanted.label.as_deref(),
            window: selection.window.as_ref().map(|window| (window.from, window.to)),
            counts: made.as_ref().ok().map(|manifest| (manifest.totals.rows, manifest.file_size_bytes())),
            reached: destination.progress.reached(),
            expires_at,
            error: reason.as_deref(),
        };
        let recorded = record(&self.options, &entry).await;
        drop(holder);
        let manifest = made?;
        Ok(Outcome::Made(Box::new(BackupMade { manifest, warnings: recorded.err().into_iter().collect() })))
    }

    /// Claims the backup, and makes it unless another delivery has.
    async fn run(
        &self,
        destination: &Arc<Destination<S>>,
        wanted: &Wanted,
        facts: SealFacts,
        holder: &mut Option<PgConnection>,
    ) -> Result<Run, ArchiveError> {
        let backup_id = &destination.backup_id;
        let (kind, digits) = (backup_id.backup_type(), backup_id.digits());
        let holder = holder.insert(open_reading(&self.options, None).await?);
        let claimed = scheduled::claim(holder, digits).await?;
        if let Some(scheduled_at) = wanted.scheduled_at {
            // After the claim: whoever had it before has sealed by now, or never will.
            let deliveries = scheduled::deliveries(&*self.store, kind, digits, scheduled_at).await?;
            if let Some(backup) = deliveries.iter().find_map(Folder::listed) {
                return Ok(Run::Duplicate(backup));
            }
            if claimed && deliveries.iter().any(|folder| folder.id == *backup_id) {
                let operation = format!("begin backup {backup_id}");
                let reason = "another delivery began it in this very second, and did not come to its end";
                return Err(StoreError::new(StoreErrorKind::Taken, operation, reason).into());
            }
            if !claimed {
                return Ok(Run::Running(deliveries.last().map(|folder| folder.id.clone())));
            }
        }
        let told = backup_progress::Run {
            backup_id: backup_id.clone(),
            label: facts.label.clone(),
            window: wanted.selection.window.as_ref().map(|window| (window.from, window.to)),
            expires_at: facts.expires_at,
        };
        let _teller = backup_progress::tell(Arc::clone(&destination.progress), self.options.clone(), told);
        Ok(Run::Made(Box::new(self.write(destination, &wanted.selection, facts, holder).await?)))
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
        holder: &mut PgConnection,
    ) -> Result<Manifest, ArchiveError> {
        let chosen = choose(holder, selection, &self.schemas).await?;
        // What is chosen may lie in any schema.
        let schemas = if chosen.is_some() { &SchemaSelection::All } else { &self.schemas };
        let mut plan = plan(holder, schemas, chosen.as_ref()).await?;
        plan.changes = Box::pin(link::prove(plan.changes, &self.options, &*self.store)).await?;
        destination.progress.planned(plan.tables.iter().map(|table| table.bytes).sum());
        tracing::info!(backup_id = %destination.backup_id, tables = plan.tables.len(), "backup planned");

        let parts = self.write_parts(destination, holder, &plan.snapshot.id, &plan.tables).await?;
        prove_held(holder).await?;
        let entry = chosen.map(|Chosen { entry, .. }| entry);
        seal(destination, plan, parts, SealFacts { selection: entry, ..facts }).await
    }

    async fn write_parts(
        &self,
        destination: &Arc<Destination<S>>,
        holder: &mut PgConnection,
        snapshot: &str,
        tables: &[TablePlan],
    ) -> Result<Vec<Vec<PartEntry>>, ArchiveError> {
        let queue: Queue<PartOf> = tables
            .iter()
            .enumerate()
            .flat_map(|(table, plan)| (0..plan.parts.len()).map(move |number| PartOf { table, number }))
            .collect();
        let workers = self.connections.min(queue.len());
        let shared_tables: Arc<[TablePlan]> = tables.into();
        let mut running = JoinSet::new();
        for _ in 0..workers {
            let (queue, tables) = (queue.clone(), Arc::clone(&shared_tables));
            let (destination, options) = (Arc::clone(destination), self.options.clone());
            let snapshot = snapshot.to_owned();
            running.spawn(async move {
                let mut connection = open_reading(&options, Some(&snapshot)).await?;
                let mut done = Done::default();
                while let Some(part) = queue.take() {
                    if lock_to_read(&mut connection, &tables, part.table).await? {
                        done.write(&mut connection, &destination, &tables, part).await?;
                    } else {
                        done.left.push(part);
                    }
                }
                Ok(done)
            });
        }
        let mut done = Done::default();
        while let Some(ended) = running.join_next().await {
            let interrupted = |_| ArchiveError::Interrupted { operation: "back up the tables".to_owned() };
            match ended.map_err(interrupted).flatten() {
                Ok(worker) => done.add(worker),
                Err(error) => {
                    // The first failure ends the other workers too, before their uploads are given up.
                    destination.stop.ask();
                    let others = async { while running.join_next().await.is_some() {} };
                    let ended = tokio::time::timeout(STOP_TIME, others).await;
                    if ended.is_err() {
                        running.shutdown().await;
                    }
                    return Err(error);
                }
            }
        }
        for part in std::mem::take(&mut done.left) {
            // Its locks are as old as the plan: nobody is before it.
            done.write(holder, destination, tables, part).await?;
        }
        Ok(done.by_table(tables.len()))
    }
}

/// A part of a planned table, both by their places.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct PartOf {
    table: usize,
    number: usize,
}

/// What became of the parts that one session took.
#[derive(Default)]
struct Done {
    written: Vec<(PartOf, PartEntry)>,
    /// Those whose tables somebody waits to alter: see [`lock_to_read`].
    left: Vec<PartOf>,
}

impl Done {
    async fn write<S: ObjectStore>(
        &mut self,
        connection: &mut PgConnection,
        destination: &Arc<Destination<S>>,
        tables: &[TablePlan],
        part: PartOf,
    ) -> Result<(), ArchiveError> {
        let entry = write_part(connection, destination, &tables[part.table], part.number).await?;
        self.written.push((part, entry));
        Ok(())
    }

    fn add(&mut self, other: Done) {
        self.written.extend(other.written);
        self.left.extend(other.left);
    }

    /// The entries of each of so many tables, in their order.
    fn by_table(mut self, tables: usize) -> Vec<Vec<PartEntry>> {
        self.written.sort_by_key(|(part, _)| *part);
        let mut by_table = vec![Vec::new(); tables];
        for (part, entry) in self.written {
            by_table[part.table].push(entry);
        }
        by_table
    }
}

/// Gives up what is half uploaded, in half of the time that was kept back for it.
async fn give_up<S: ObjectStore>(destination: &Destination<S>, error: ArchiveError) -> ArchiveError {
    let given_up =
        tokio::time::timeout(CLEAN_UP_TIME / 2, destination.uploads.abort_all(&*destination.store));
    let left = match given_up.await {
        Ok(Ok(())) => String::new(),
        Ok(Err(left)) => format!("; an upload could not be given up and is removed by prune: {left}"),
        Err(_) => "; uploads could not be given up in time and are removed by prune".to_owned(),
    };
    let Reached { rows, bytes, percent, .. } = destination.progress.reached();
    let outcome = format!(
        "Backup {} was not completed, with {rows} rows and {bytes} bytes read ({percent} %): it has no manifest and \
         cannot be taken for a backup{left}",
        destination.backup_id
    );
    ArchiveError::CleanedUp { error: Box::new(error), outcome }
}
