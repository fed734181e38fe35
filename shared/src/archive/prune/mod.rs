//! Prune: removes backups whose time has come, and what interrupted work left behind.
//!
//! # What it never takes
//!
//! The newest whole backup of each type; every full backup of the point-in-time window and the one before it; what a
//! recovery point needs; what S3 holds by Object Lock or legal hold. `decision` has the rules.
//!
//! # Interruption
//!
//! A backup's manifest goes first: from then on it is no backup, for listings, for `latest` and for restore. What a
//! prune that was interrupted leaves is a folder without a manifest, which the next one takes after a day, as it does
//! with what a backup that died left. Two prunes at once take the same objects, and deleting what is gone is no error.
//!
//! # Undoing it
//!
//! A plain DELETE hides an object of a bucket with versions behind a marker. The bucket's lifecycle rule removes the
//! versions for good after 30 days; until then a mistaken prune can be taken back. This function has no right to
//! remove a version.

mod decision;
mod recovery_points;

use std::time::SystemTime;

use sqlx::postgres::PgConnectOptions;
use time::{Duration, OffsetDateTime};

use self::decision::{Decision, Rules};
pub use self::decision::{Rule, Why};
use super::error::ArchiveError;
use super::inventory::{Folder, list_folders};
use super::names::BACKUPS_PREFIX;
use super::store::{ObjectStore, S3Store, StoreErrorKind, UnfinishedUpload};
use crate::audit::Mandate;
use crate::changes::names::CHANGES_PREFIX;
use crate::changes::prune::{PrunedSegments, Segment, expired, remove as remove_segment};

/// Nothing new is begun when less than this is left of the invocation.
const RESERVE: std::time::Duration = std::time::Duration::from_secs(20);

/// How often a prune decides anew because somebody made or dropped a recovery point meanwhile.
const DECISIONS_MAX: usize = 5;

/// What is to be pruned.
pub struct Prune<'p> {
    /// The bucket.
    pub store: &'p S3Store,
    /// The database that has the recovery points.
    pub database: &'p PgConnectOptions,
    /// Whether to go on without asking for them.
    pub without_recovery_points: bool,
    /// The present.
    pub now: OffsetDateTime,
    /// Take by age, in place of expiry.
    pub older_than: Option<Duration>,
    /// How far back every instant has to stay restorable.
    pub point_in_time_window: Duration,
    /// Whether most of what stands may go.
    pub more_than_half: bool,
    /// Who removes, and why; none to remove nothing and only say what would be removed.
    pub author: Option<Mandate>,
}

/// What was removed, or would be.
#[derive(Debug, Default)]
pub struct Pruned {
    /// Backups and leftovers that went, oldest first.
    pub removed: Vec<(Folder, Why)>,
    /// Backups that stay, oldest first, each with every rule that keeps it.
    pub kept: Vec<(Folder, Vec<Rule>)>,
    /// Folders without a manifest that may still be written.
    pub incomplete: Vec<Folder>,
    /// Uploads that were given up.
    pub uploads_aborted: Vec<UnfinishedUpload>,
    /// Whether the bucket keeps what was removed as older versions.
    pub versions_kept: bool,
    /// Whether the time was up before all of it went: the next prune goes on.
    pub partial: bool,
    /// Segments of changes that went with them.
    pub changes: PrunedSegments,
    /// Why a prune that is not dry would refuse.
    pub refusal: Option<String>,
    /// What went wrong besides.
    pub warnings: Vec<String>,
}

impl Prune<'_> {
    /// Decides, and removes where there is an author.
    ///
    /// # Errors
    /// [`ArchiveError::ClockSkew`]; [`ArchiveError::PruneRefused`] for what looks like a mistake; the database's error
    /// where its recovery points cannot be asked for; [`ArchiveError::Store`].
    pub async fn run(&self, deadline: SystemTime) -> Result<Pruned, ArchiveError> {
        let mut warnings = Vec::new();
        let mut points = Vec::new();
        let mut database_now = None;
        if !self.without_recovery_points {
            let asked = recovery_points::ask(self.database).await?;
            (points, database_now) = (asked.points, Some(asked.now));
        }
        let folders = list_folders(self.store, "").await?;
        let mut rules = Rules {
            now: self.now,
            older_than: self.older_than,
            point_in_time_window: self.point_in_time_window,
            recovery_points: points,
        };
        if let Some(fault) = rules.clock_fault(&folders, database_now) {
            return Err(ArchiveError::ClockSkew(fault));
        }
        let uploads = self.old_uploads(&mut warnings).await?;
        for _ in 0..DECISIONS_MAX {
            let mut decision = rules.decide(folders.clone());
            self.respect_locks(&mut decision).await?;
            let refusal = decision.implausible(self.more_than_half);
            let (segments, changes) = Box::pin(expired(self.store, decision.oldest_base(), self.now)).await?;
            let Some(author) = &self.author else {
                return Ok(Pruned { changes, ..dry(decision, uploads, refusal, warnings) });
            };
            if let Some(reason) = refusal {
                return Err(ArchiveError::PruneRefused(reason));
            }
            if !decision.remove.is_empty() || !segments.is_empty() {
                if self.without_recovery_points {
                    let written =
                        recovery_points::commit_without_points(self.database, &decision, &changes, author)
                            .await;
                    warnings.extend(written.err());
                } else {
                    let points = &rules.recovery_points;
                    let now = recovery_points::commit(self.database, &decision, &changes, points, author);
                    let now = now.await?;
                    if now != rules.recovery_points {
                        rules.recovery_points = now;
                        continue;
                    }
                }
            }
            let mut pruned = self.remove(decision, uploads, author, warnings, deadline).await?;
            pruned.changes = changes;
            Box::pin(self.remove_segments(segments, &mut pruned, deadline)).await?;
            return Ok(pruned);
        }
        Err(ArchiveError::PruneRefused(
            "recovery points are made and dropped all the time; run it again".to_owned(),
        ))
    }

    /// Moves what S3 holds from what goes to what stays.
    async fn respect_locks(&self, decision: &mut Decision) -> Result<(), ArchiveError> {
        let mut going = Vec::with_capacity(decision.remove.len());
        let mut held = Vec::new();
        let mut asked = std::mem::take(&mut decision.remove).into_iter();
        while let Some((folder, why)) = asked.next() {
            let mut locks = Vec::new();
            for key in self.keys(&folder).await? {
                match self.store.lock_of(&key, self.now).await? {
                    Some(Some(lock)) => {
                        locks.push(Rule::Locked(lock));
                        break;
                    }
                    Some(None) => {}
                    None => {
                        // Nothing in this bucket can be held.
                        going.push((folder, why));
                        going.extend(asked);
                        decision.remove = going;
                        return Ok(());
                    }
                }
            }
            match locks.is_empty() {
                true => going.push((folder, why)),
                false => held.push((folder, locks)),
            }
        }
        decision.remove = going;
        decision.keep.extend(held);
        decision.keep.sort_by(|(one, _), (other, _)| one.id.cmp(&other.id));
        Ok(())
    }

    /// The keys of a folder's objects, the manifest's first.
    async fn keys(&self, folder: &Folder) -> Result<Vec<String>, ArchiveError> {
        let manifest = folder.id.key(super::manifest::MANIFEST);
        let mut keys = Vec::new();
        self.store.list(&folder.id.folder(), |object| keys.push(object.key)).await?;
        keys.sort_by_key(|key| *key != manifest);
        Ok(keys)
    }

    async fn old_uploads(&self, warnings: &mut Vec<String>) -> Result<Vec<UnfinishedUpload>, ArchiveError> {
        let mut uploads = Vec::new();
        for prefix in [BACKUPS_PREFIX, CHANGES_PREFIX] {
            let Some(found) = self.store.unfinished_uploads(prefix).await? else {
                warnings.push(
                    "this store cannot list unfinished uploads: a lifecycle rule has to end them".to_owned(),
                );
                return Ok(Vec::new());
            };
            uploads.extend(found);
        }
        uploads.retain(|upload| upload.initiated_at < self.now - decision::LEFTOVER_AGE_MIN);
        Ok(uploads)
    }

    /// Removes segments, as far as the time goes; the next prune goes on.
    async fn remove_segments(
        &self,
        segments: Vec<Segment>,
        pruned: &mut Pruned,
        deadline: SystemTime,
    ) -> Result<(), ArchiveError> {
        for (id, segment) in segments {
            let held = match SystemTime::now() + RESERVE > deadline {
                true => {
                    pruned.partial = true;
                    None
                }
                false => remove_segment(self.store, &id, self.now).await?,
            };
            match held {
                Some(versions_kept) => pruned.versions_kept |= versions_kept,
                None => {
                    pruned.changes.removed -= 1;
                    pruned.changes.kept += 1;
                    pruned.changes.bytes_freed -= segment.bytes;
                }
            }
        }
        Ok(())
    }

    async fn remove(
        &self,
        decision: Decision,
        uploads: Vec<UnfinishedUpload>,
        author: &Mandate,
        warnings: Vec<String>,
        deadline: SystemTime,
    ) -> Result<Pruned, ArchiveError> {
        let mut pruned =
            Pruned { kept: decision.keep, incomplete: decision.wait, warnings, ..Pruned::default() };
        for (folder, why) in decision.remove {
            if SystemTime::now() + RESERVE > deadline {
                pruned.partial = true;
                return Ok(pruned);
            }
            let keys = self.keys(&folder).await?;
            if let Some((first, rest)) = keys.split_first() {
                // The manifest, where there is one.
                pruned.versions_kept |= self.store.delete(first).await?;
                self.store.delete_all(rest).await?;
            }
            tracing::info!(
                backup_id = %folder.id, ?why, bytes = folder.bytes, actor = author.actor, reason = author.reason,
                "backup pruned"
            );
            pruned.removed.push((folder, why));
        }
        for upload in uploads {
            match self.store.abort_upload(&upload.key, &upload.upload_id).await {
                Ok(()) => pruned.uploads_aborted.push(upload),
                // Somebody else ended it.
                Err(error) if error.kind == StoreErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(pruned)
    }
}

fn dry(
    decision: Decision,
    uploads: Vec<UnfinishedUpload>,
    refusal: Option<String>,
    warnings: Vec<String>,
) -> Pruned {
    Pruned {
        removed: decision.remove,
        kept: decision.keep,
        incomplete: decision.wait,
        uploads_aborted: uploads,
        refusal,
        warnings,
        ..Pruned::default()
    }
}
