//! What the function answers about a copy: that it is complete, or how it goes on.

use std::collections::BTreeMap;
use std::time::SystemTime;

use recoup::archive::manifest::SelectionEntry;
use recoup::archive::reading::Backup;
use recoup::archive::restore::{
    DatabaseCopy, Difference, HandedOver, Masks, Order, Outcome, Phases, Rebuilt, RestoredTable, Rule,
    Standing, State, compare_production,
};
use recoup::archive::store::S3Store;
use recoup::erasures::Applied;
use recoup::failure::Failure;
use recoup::secrets::SecretStore;
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::{Restore, RestoreReply};

/// What the function answers about a copy that is complete.
#[derive(Debug, Serialize)]
pub struct RestoredReply {
    restore_id: String,
    backup_id: String,
    backup_type: String,
    target_database: String,
    status: &'static str,
    /// The instant that the copy shows; absent where it is the backup's.
    #[serde(skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    target_time: Option<OffsetDateTime>,
    /// Tables whose changes are not captured, and which are as the backup shows them; absent where no changes were
    /// replayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of_backup: Option<Vec<String>>,
    /// Persons who were erased, and are again in the copy, after it was proven equal to the backup; absent where nobody was.
    #[serde(skip_serializing_if = "Option::is_none")]
    erased: Option<Applied>,
    /// Whether the copy holds the rows of a window only.
    partial: bool,
    /// What the copy may be used for: `promote` only where it holds everything.
    fit_for: &'static [&'static str],
    /// Which part of the database it is; absent where it is everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    selection: Option<SelectionEntry>,
    /// Columns whose personal data is masked, and by which rule; absent where none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    masked: Option<BTreeMap<String, Rule>>,
    tables: Vec<RestoredTable>,
    difference_to_production: Difference,
    unsupported: Vec<String>,
    /// What the backup has and the copy does not, because it needs tables that are not wanted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<String>,
    warnings: Vec<String>,
    /// From the beginning, over all invocations.
    elapsed_seconds: f64,
    phases: Phases,
    rate: Rate,
}

/// How fast it went.
#[derive(Debug, Serialize)]
pub struct Rate {
    rows_per_second: f64,
    megabytes_per_second: f64,
}

/// What the function answers about a copy that another invocation has to go on with.
#[derive(Debug, Serialize)]
pub struct InProgressReply {
    restore_id: String,
    backup_id: String,
    target_database: String,
    status: &'static str,
    progress: Standing,
    /// The payload that goes on with it.
    next: Value,
}

/// The payload that goes on with a restore.
pub(crate) fn next(restore_id: &str, target_secret: Option<&str>) -> Value {
    let mut next = json!({"action": "resume", "restore_id": restore_id});
    if let Some(secret) = target_secret {
        next["target_secret"] = secret.into();
    }
    next
}

/// What a staging database may be used for.
pub(crate) fn fit_for(state: State) -> &'static [&'static str] {
    match state {
        State::Complete => &["promote", "merge"],
        State::Part => &["merge"],
        State::Masked => &["rehearsal"],
        State::Incomplete => &[],
    }
}

/// What is said about whatever came of a restore.
pub(crate) struct Copy<'a> {
    /// What was asked for.
    pub(crate) order: Order,
    /// Which columns are masked.
    pub(crate) masks: &'a Masks,
    /// Records of erasures that could not be read.
    pub(crate) unreadable: Vec<String>,
    /// What was restored.
    pub(crate) backup: &'a Backup<S3Store>,
    /// Where to, where it is not production's server.
    pub(crate) target_secret: Option<&'a str>,
}

impl<S: SecretStore + Sync> Restore<S> {
    /// What is answered; a complete copy is compared with production first.
    pub(crate) async fn answer(
        &self,
        outcome: Outcome,
        copy: Copy<'_>,
        deadline: SystemTime,
    ) -> Result<RestoreReply, Failure> {
        let Copy { order, masks, unreadable, backup, target_secret } = copy;
        let rebuilt = match outcome {
            Outcome::Rebuilt(rebuilt) => *rebuilt,
            Outcome::HandedOver(HandedOver { database, standing }) => {
                return Ok(RestoreReply::InProgress(Box::new(InProgressReply {
                    next: next(&order.restore_id, target_secret),
                    restore_id: order.restore_id,
                    backup_id: order.backup_id,
                    target_database: database,
                    status: "in_progress",
                    progress: standing,
                })));
            }
        };
        let Rebuilt { mut staging, tables, replay, left_out, mut erased, phases, elapsed } = rebuilt;
        let manifest = &backup.manifest;
        let database = staging.database.clone();
        let mut warnings = std::mem::take(&mut staging.warnings);
        let incomplete: u64 =
            replay.iter().flat_map(|replay| &replay.segments).map(|segment| segment.rows_incomplete).sum();
        if incomplete > 0 {
            warnings.push(format!(
                "of {incomplete} rows that were gone before they were exported, columns that are read at export are empty"
            ));
        }
        let options = staging.options.clone();
        staging.release().await;
        erased.not_applied.extend(unreadable);
        if !erased.not_applied.is_empty() {
            warnings.push(format!(
                "{} erasures could not be applied to the copy, see erased.not_applied: apply them by hand before it goes live",
                erased.not_applied.len()
            ));
        }
        let production = self.production().await?;
        let copy = DatabaseCopy { options: &options, tables: &tables, rewritten: &erased.written };
        let difference =
            Box::pin(compare_production(&production, manifest, &order, &copy, self.connections, deadline))
                .await;
        let seconds = elapsed.as_secs_f64().max(f64::EPSILON);
        let bytes: u64 = manifest
            .tables
            .iter()
            .filter(|table| order.wants(table))
            .flat_map(|table| &table.parts)
            .map(|part| part.bytes_raw)
            .sum();
        Ok(RestoreReply::Restored(Box::new(RestoredReply {
            backup_id: backup.id.to_string(),
            backup_type: manifest.backup_type.clone(),
            partial: manifest.partial,
            fit_for: fit_for(order.finished(manifest).state),
            selection: selection(&order, backup),
            masked: order.masking.as_ref().map(|_| masks.columns().clone()),
            target_database: database,
            status: "completed",
            target_time: order.target,
            as_of_backup: replay.map(|replay| replay.not_captured),
            erased: (erased != Applied::default()).then_some(erased),
            rate: Rate {
                rows_per_second: tables.iter().map(|table| table.rows).sum::<u64>() as f64 / seconds,
                megabytes_per_second: bytes as f64 / 1e6 / seconds,
            },
            tables,
            difference_to_production: difference,
            unsupported: manifest.unsupported.clone(),
            left_out,
            warnings,
            elapsed_seconds: seconds,
            phases,
            restore_id: order.restore_id,
        })))
    }
}

/// Which part of the database a copy is.
fn selection(order: &Order, backup: &Backup<S3Store>) -> Option<SelectionEntry> {
    let of_backup = backup.manifest.selection.clone();
    let Some(tables) = &order.tables else { return of_backup };
    Some(SelectionEntry {
        tables: tables.clone(),
        added: Vec::new(),
        window: of_backup.and_then(|selection| selection.window),
    })
}
