//! Why changes could not be exported, read or replayed.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::check::Fault;
use crate::archive::error::{ArchiveError, Damage};
use crate::archive::store::StoreError;
use crate::failure::Failure;

/// Faults that are named; the others are counted.
const FAULTS_NAMED_MAX: usize = 20;

/// Why changes could not be exported, read or replayed.
#[derive(Debug, thiserror::Error)]
pub enum ChangesError {
    /// No full backup shows an instant this early.
    #[error(
        "restore the state of {}: the oldest full backup shows {}; choose an instant from then on",
        instant(.target), instant_or(.oldest, "nothing, for there is none")
    )]
    BeforeFirstBackup {
        /// What was asked for.
        target: OffsetDateTime,
        /// The oldest instant that can be restored.
        oldest: Option<OffsetDateTime>,
    },
    /// The instant is later than the last exported change.
    #[error(
        "restore the state of {}: changes are exported up to {}; choose an instant up to then, or run backup \
         {{\"backup_type\":\"changes\"}} where the database still runs",
        instant(.target), instant(.newest)
    )]
    AfterLastChange {
        /// What was asked for.
        target: OffsetDateTime,
        /// The newest instant that can be restored.
        newest: OffsetDateTime,
    },
    /// The chain that leads to the instant is broken, or none leads there.
    #[error(
        "restore the state of {}: {reason}; the nearest instants that can be restored are {} before it and {} after it",
        instant(.target), instant_or(.before, "none"), instant_or(.after, "none")
    )]
    Gap {
        /// What was asked for.
        target: OffsetDateTime,
        /// What is missing.
        reason: String,
        /// The nearest instant before it.
        before: Option<OffsetDateTime>,
        /// The nearest instant after it.
        after: Option<OffsetDateTime>,
    },
    /// A captured table's definition was changed between the full backup and the instant, or its capture began or
    /// ended.
    #[error(
        "restore the state of {}: {table} {what} at {}, and changes are not replayed across that; the nearest instants \
         that can be restored are before it, and from the next full backup on ({})",
        instant(.target), instant(.at), .next.as_deref().unwrap_or("there is none yet: take one now")
    )]
    Barrier {
        /// What was asked for.
        target: OffsetDateTime,
        /// `schema.table`.
        table: String,
        /// What happened to it.
        what: &'static str,
        /// When it happened.
        at: OffsetDateTime,
        /// The next full backup, with the instant that it shows.
        next: Option<String>,
    },
    /// At least one object of a segment is missing, changed, or does not belong.
    #[error(
        "read the changes of segment {segment_id}: {}; instants from there on can be restored only from the next full \
         backup on; take one now",
        listed(.damage)
    )]
    Damaged {
        /// The segment.
        segment_id: String,
        /// What was found.
        damage: Vec<Damage>,
    },
    /// A check found chains that are not whole.
    #[error(
        "check the changes: {} of what was exported cannot be replayed: {}; instants from there on can be restored only \
         from the next full backup on; take one now",
        segments(.faults), faults_listed(.faults)
    )]
    Broken {
        /// Everything that was found.
        faults: Vec<Fault>,
    },
    /// A later version wrote it.
    #[error(
        "read segment {segment_id}: its format is version {version} and this recoup reads version {known}; deploy the \
         version that wrote it"
    )]
    FormatUnknown {
        /// The segment.
        segment_id: String,
        /// The version in its manifest.
        version: u64,
        /// The version that is understood here.
        known: u32,
    },
    /// None of the identities opens it.
    #[error(
        "open segment {segment_id}: none of the {identities} identities in the backup key's secret belongs to its \
         recipients ({}); add the matching AGE-SECRET-KEY to the secret's identities",
        .recipients.join(", ")
    )]
    WrongKey {
        /// The segment.
        segment_id: String,
        /// How many identities were tried.
        identities: usize,
        /// Whom it was encrypted to.
        recipients: Vec<String>,
    },
    /// The bucket refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another module's failure.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

impl ChangesError {
    /// The stable type for alarms and scripts.
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::BeforeFirstBackup { .. } => "InstantBeforeFirstBackup",
            Self::AfterLastChange { .. } => "InstantAfterLastChange",
            Self::Gap { .. } => "InstantInGap",
            Self::Barrier { .. } => "InstantAcrossDefinitionChange",
            Self::Damaged { .. } => "ChangesDamaged",
            Self::Broken { .. } => "ChangesBroken",
            Self::FormatUnknown { .. } => "ChangesFormatUnknown",
            Self::WrongKey { .. } => "WrongKey",
            Self::Store(error) => error.error_type(),
            Self::Archive(error) => error.error_type(),
        }
    }
}

impl From<ChangesError> for ArchiveError {
    fn from(error: ChangesError) -> Self {
        match error {
            ChangesError::Archive(error) => error,
            ChangesError::Store(error) => Self::Store(error),
            ChangesError::Broken { ref faults } => {
                let named = &faults[..faults.len().min(FAULTS_NAMED_MAX)];
                let findings = serde_json::json!({"faults": faults.len(), "segments": named});
                Self::Other(Failure::new(error.error_type(), error.to_string()).with_findings(&findings))
            }
            error => Self::Other(Failure::new(error.error_type(), error.to_string())),
        }
    }
}

impl From<ChangesError> for Failure {
    fn from(error: ChangesError) -> Self {
        ArchiveError::from(error).into()
    }
}

fn segments(faults: &[Fault]) -> String {
    let mut named: Vec<&str> = faults.iter().map(|fault| fault.segment_id.as_str()).collect();
    named.dedup();
    match named.len() {
        1 => "1 segment".to_owned(),
        several => format!("{several} segments"),
    }
}

fn faults_listed(faults: &[Fault]) -> String {
    let named =
        faults.iter().take(FAULTS_NAMED_MAX).map(|fault| format!("{}: {}", fault.segment_id, fault.reason));
    let named = named.collect::<Vec<_>>().join("; ");
    match faults.len().saturating_sub(FAULTS_NAMED_MAX) {
        0 => named,
        more => format!("{named}; and {more} more"),
    }
}

fn listed(damage: &[Damage]) -> String {
    damage.iter().map(Damage::to_string).collect::<Vec<_>>().join("; ")
}

fn instant(at: &OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_else(|_| at.to_string())
}

fn instant_or(at: &Option<OffsetDateTime>, otherwise: &str) -> String {
    at.as_ref().map_or_else(|| otherwise.to_owned(), instant)
}
