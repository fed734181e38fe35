//! One restore from its first byte to its proof, over as many invocations as it needs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use sqlx::postgres::PgConnectOptions;
use time::OffsetDateTime;

use super::analyze::analyze;
use super::compare::{self, RestoredTable};
use super::definitions::Definitions;
use super::documents::{check_instructions, read_definitions};
use super::ledger::{Ledger, Step};
use super::load::Load;
use super::mask::Masks;
use super::occupancy;
use super::older_server::OlderServer;
use super::order::Order;
use super::preview::Preview;
use super::replay::Replaying;
use super::staging::{Staging, check_name};
use super::standing::Standing;
use super::subset::Subset;
use super::wanted::wanted_tables;
use crate::archive::encryption::{Decryption, Identities};
use crate::archive::error::ArchiveError;
use crate::archive::progress::Progress;
use crate::archive::reading::Backup;
use crate::archive::store::{ObjectStore, StoreErrorKind};
use crate::changes::Replay;
use crate::db;
use crate::erasures::{Applied, Erasure, apply_to_copy};

/// What is kept back of the invocation's time to drop the staging database, or to answer how it goes on.
const CLEAN_UP_TIME: Duration = Duration::from_secs(20);

/// How often work that only lost its connection is taken up again without any of it getting done.
const TRIES_MAX: u32 = 4;

/// Where backups are restored.
pub struct RestoreTarget {
    /// The server, by the URL of any database on it, which need not exist any more.
    pub server: PgConnectOptions,
    /// How many connections load, build indexes and compare at a time.
    pub connections: usize,
}

/// How long the parts of the last invocation's work took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Phases {
    /// Types, tables, rows and changes.
    pub rows_seconds: f64,
    /// Keys, indexes, constraints, triggers, owners and statistics.
    pub definitions_seconds: f64,
    /// Reading every row again.
    pub proof_seconds: f64,
}

/// A database that was rebuilt and proven, and that is still held.
pub struct Rebuilt {
    /// The database.
    pub staging: Staging,
    /// Its tables.
    pub tables: Vec<RestoredTable>,
    /// What was replayed on top of the backup; none for the backup as it is.
    pub replay: Option<Replay>,
    /// What was left out of it, because it needs a table that is not wanted.
    pub left_out: Vec<String>,
    /// What the erasures of persons came to, which is after the proof.
    pub erased: Applied,
    /// How long the parts of the last invocation's work took.
    pub phases: Phases,
    /// How long it took since the restore began, over all its invocations.
    pub elapsed: Duration,
}

/// A database that the next invocation goes on with.
pub struct HandedOver {
    /// Its name.
    pub database: String,
    /// How far it is.
    pub standing: Standing,
}

/// What an invocation came to.
pub enum Outcome {
    /// The database is complete.
    Rebuilt(Box<Rebuilt>),
    /// Its time is up.
    HandedOver(HandedOver),
}

/// A restore, with all that was checked before anything is created.
pub struct Restoring<S> {
    target: RestoreTarget,
    order: Order,
    backup: Arc<Backup<S>>,
    decryption: Decryption,
    masks: Masks,
    replay: Option<Replay>,
    identities: Identities,
    sql: String,
    /// Applied to the copy once it is proven; none for a copy that nobody gets to see.
    erasures: Option<Vec<Erasure>>,
}

impl<S: ObjectStore> Restoring<S> {
    /// Opens the backup: missing and misplaced objects, a key that does not fit, damaged definitions, unknown tables and
    /// gaps on the way to an instant are found before anything is created.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn open(
        target: RestoreTarget,
        mut order: Order,
        backup: Arc<Backup<S>>,
        identities: &Identities,
    ) -> Result<Self, ArchiveError> {
        let masks = match &order.masking {
            None => Masks::default(),
            Some(masking) => Masks::plan(masking, &backup.manifest)?,
        };
        let decryption = identities.opening(&backup.manifest)?;
        let damage = backup.check_listing().await?;
        if !damage.is_empty() {
            return Err(backup.damaged(damage));
        }
        let sql = read_definitions(&backup, &decryption).await?;
        check_instructions(&backup).await?;
        if let Some(tables) = &order.tables {
            order.wanted = Some(wanted_tables(&backup.manifest, &sql, tables)?);
        }
        let replay = match order.target {
            None => None,
            Some(instant) => Some(Replay::plan(&backup.store, &backup.manifest, instant).await?),
        };
        let identities = identities.clone();
        Ok(Self { target, order, backup, decryption, masks, replay, identities, sql, erasures: None })
    }

    /// The same, and whoever was erased is erased in the copy as well: by `erasures`, and by what it knows itself.
    pub fn erasing(self, erasures: Vec<Erasure>) -> Self {
        Self { erasures: Some(erasures), ..self }
    }

    /// Restores into a new database `database`, and hands over where the time is up.
    ///
    /// # Errors
    /// [`ArchiveError`]. What fails for good drops the database; where only a connection was lost it is kept. The
    /// message says which.
    pub async fn begin(self, database: &str, deadline: SystemTime) -> Result<Outcome, ArchiveError> {
        let staging = self.create(database).await?;
        self.work(staging, deadline, true).await
    }

    /// The same in one invocation: where the time is up, or anything fails, nothing remains.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn rebuild(self, database: &str, deadline: SystemTime) -> Result<Rebuilt, ArchiveError> {
        let staging = self.create(database).await?;
        match self.work(staging, deadline, false).await? {
            Outcome::Rebuilt(rebuilt) => Ok(*rebuilt),
            Outcome::HandedOver(_) => {
                Err(ArchiveError::Interrupted { operation: "restore the database".to_owned() })
            }
        }
    }

    /// Goes on with a database that was begun, as [`Self::begin`] does.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub async fn resume(self, staging: Staging, deadline: SystemTime) -> Result<Outcome, ArchiveError> {
        self.work(staging, deadline, true).await
    }

    /// What the restore would do, and whether it could.
    pub async fn preview(&self, database: &str) -> Preview {
        let replay = self.replay.as_ref();
        Preview::of(&self.target.server, &self.order, &self.backup.manifest, &self.masks, replay, database)
            .await
    }

    /// What was asked for.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// Which columns are masked.
    pub fn masks(&self) -> &Masks {
        &self.masks
    }

    async fn create(&self, database: &str) -> Result<Staging, ArchiveError> {
        check_name(database)?;
        Staging::create(&self.target.server, database, &self.order, &self.backup.manifest.database).await
    }

    async fn work(
        &self,
        mut staging: Staging,
        deadline: SystemTime,
        keeps: bool,
    ) -> Result<Outcome, ArchiveError> {
        let older_server = OlderServer::of(&self.backup.manifest, staging.server_version());
        let mut marks = 0;
        let mut tries = 0;
        loop {
            let time_left =
                deadline.duration_since(SystemTime::now()).unwrap_or_default().saturating_sub(CLEAN_UP_TIME);
            let work = Box::pin(self.fill(&mut staging, &mut marks, &mut tries));
            let error = match tokio::time::timeout(time_left, work).await {
                Ok(Ok(filled)) => match staging.finish(&self.order.finished(&self.backup.manifest)).await {
                    Ok(()) => {
                        staging.warnings.extend(older_server.map(OlderServer::warning));
                        return Ok(Outcome::Rebuilt(Box::new(self.rebuilt(staging, filled))));
                    }
                    Err(error) => error,
                },
                Ok(Err(error)) => error,
                Err(_) if keeps => return self.hand_over(staging).await.map(Outcome::HandedOver),
                Err(_) => ArchiveError::TimeLimit { operation: "restore the database" },
            };
            if !is_passing(&error) {
                let error = match older_server {
                    Some(older_server) => older_server.explain(error),
                    None => error,
                };
                return Err(staging.drop_after(error).await);
            }
            tries += 1;
            if tries >= TRIES_MAX || !self.hold_again(&mut staging, tries).await {
                return Err(match keeps {
                    true => staging.kept_after(error, &self.order.restore_id),
                    false => staging.drop_after(error).await,
                });
            }
            tracing::warn!(%error, tries, "the restore goes on after a connection was lost");
        }
    }

    /// Takes the database again, some seconds after its session may have been lost.
    async fn hold_again(&self, staging: &mut Staging, tries: u32) -> bool {
        tokio::time::sleep(Duration::from_millis(500) * 2_u32.pow(tries)).await;
        match staging.hold_again().await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "the staging database cannot be reached");
                false
            }
        }
    }

    async fn hand_over(&self, staging: Staging) -> Result<HandedOver, ArchiveError> {
        let ledger = Ledger::read(&mut db::connect(&staging.options).await?).await?;
        let standing = Standing::of(&ledger, &self.backup.manifest, &self.order);
        let database = staging.database.clone();
        staging.release().await;
        Ok(HandedOver { database, standing })
    }

    /// Does what is not done yet. `marks` counts what was done when it was last called; `tries` begins anew where that
    /// has become more.
    async fn fill(
        &self,
        staging: &mut Staging,
        marks: &mut usize,
        tries: &mut u32,
    ) -> Result<Filled, ArchiveError> {
        let began = Instant::now();
        // An earlier invocation, or an earlier try, may have left sessions behind.
        let workers = staging.options.clone();
        occupancy::settle(staging.session(), &workers).await?;
        let ledger = Ledger::read(staging.session()).await?;
        if ledger.len() > *marks {
            (*marks, *tries) = (ledger.len(), 0);
        }
        let manifest = &self.backup.manifest;
        let options = &staging.options;
        let definitions = Definitions { options, manifest, sql: &self.sql, ledger: &ledger, subset: None };
        definitions.before_data().await?;
        let subset = match &self.order.tables {
            None => None,
            Some(tables) => Some(Subset::keep(options, tables, &ledger).await?),
        };
        let subset = subset.as_ref();

        let load = Arc::new(Load {
            options: options.clone(),
            backup: Arc::clone(&self.backup),
            decryption: self.decryption.clone(),
            masks: self.masks.clone(),
        });
        let progress = Arc::new(Progress::new("restore", self.backup.id.as_str(), manifest.totals.bytes_raw));
        progress.watch(load.load(&ledger, subset, self.target.connections, &progress)).await?;

        let (store, identities) = (&self.backup.store, &self.identities);
        let ledger_of_try = &ledger;
        let replaying = self.replay.as_ref().map(|replay| Replaying {
            options,
            store,
            identities,
            replay,
            ledger: ledger_of_try,
            subset,
            masks: &self.masks,
        });
        if let Some(replaying) = &replaying {
            replaying.rows().await?;
        }
        let rows_seconds = began.elapsed().as_secs_f64();
        let definitions = Definitions { subset, ..definitions };
        definitions.set_sequences().await?;
        definitions.after_data(self.target.connections).await?;
        let mut warnings = definitions.ownership().await?;
        analyze(options, &ledger, self.target.connections).await?;
        let mut changed = BTreeMap::new();
        if let Some(replaying) = &replaying {
            warnings.extend(replaying.sequences().await?);
            changed = replaying.changed().await?;
        }
        let built_seconds = began.elapsed().as_secs_f64();
        // The marks of this try are among what is expected: how rows were masked, what was left out.
        let ledger = Ledger::read(staging.session()).await?;
        let tables = compare::prove_equal(&compare::Expected {
            options: &staging.options,
            database: &staging.database,
            manifest,
            ledger: &ledger,
            subset,
            changed: &changed,
            connections: self.target.connections,
        })
        .await?;
        let of_definitions = ledger.of(Step::Statement).filter_map(|(_, entry)| entry.note.clone());
        let definitions_only = subset.into_iter().flat_map(Subset::definitions_only);
        let left_out = of_definitions
            .chain(definitions_only.map(|table| {
                format!("rows of {table}: only its definition is here, because a wanted table needs it")
            }))
            .collect();
        let phases = Phases {
            rows_seconds,
            definitions_seconds: built_seconds - rows_seconds,
            proof_seconds: began.elapsed().as_secs_f64() - built_seconds,
        };
        // The transaction that ends the restore: a copy is never complete with somebody in it who was erased.
        staging.begin_end().await?;
        let erased = match &self.erasures {
            None => Applied::default(),
            Some(erasures) => apply_to_copy(staging.session(), erasures)
                .await
                .map_err(|error| ArchiveError::database("erase whoever was erased", &error))?,
        };
        Ok(Filled { tables, warnings, left_out, erased, phases })
    }

    fn rebuilt(&self, mut staging: Staging, filled: Filled) -> Rebuilt {
        let Filled { tables, warnings, left_out, erased, phases } = filled;
        staging.warnings.extend(warnings);
        let elapsed = (OffsetDateTime::now_utc() - self.order.began_at).unsigned_abs();
        Rebuilt { staging, tables, replay: self.replay.clone(), left_out, erased, phases, elapsed }
    }
}

/// What filling a database came to.
struct Filled {
    tables: Vec<RestoredTable>,
    warnings: Vec<String>,
    left_out: Vec<String>,
    erased: Applied,
    phases: Phases,
}

/// Whether the same work may succeed a moment later: a connection was lost, a server restarts, a lock was held.
fn is_passing(error: &ArchiveError) -> bool {
    match error {
        // A full disk is not waited for: the copy is dropped, and makes room for production.
        ArchiveError::Database { reason, .. } => reason.is_lost() || reason.is("55P03") || reason.is("53300"),
        ArchiveError::Store(error) => error.kind == StoreErrorKind::Unavailable,
        ArchiveError::Other(failure) => failure.error_type() == "DatabaseUnavailable",
        _ => false,
    }
}
