//! `backup_type` `changes`: exports what changed since the last time; and the actions `capture` and `release`, which say
//! of what tables.

use std::time::SystemTime;

use recoup::archive::schema::SchemaSelection;
use recoup::archive::selection::TableName;
use recoup::archive::store::ObjectStore;
use recoup::audit::{Mandate, dry};
use recoup::changes::capture::{Captured, Order, carry_out};
use recoup::changes::export::{ExportMade, Exported, Exporter};
use recoup::changes::manifest::Barrier;
use recoup::changes::uncaptured::Uncaptured;
use recoup::failure::Failure;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnectOptions;
use time::OffsetDateTime;

/// An export that is asked for. Two for one scheduled time are two segments, of which the second has next to nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangesRequest {
    #[serde(rename = "backup_type")]
    _backup_type: String,
    #[serde(rename = "scheduled_at", default)]
    _scheduled_at: Option<String>,
}

/// What was exported.
#[derive(Debug, Serialize)]
pub struct ChangesReply {
    backup_type: &'static str,
    /// `completed`, or `running` where another run is at work.
    status: &'static str,
    #[serde(flatten)]
    segment: Option<SegmentReply>,
}

#[derive(Debug, Serialize)]
struct SegmentReply {
    segment_id: String,
    /// Why a new chain begins with this segment. Instants before it can be restored from backups before it; those
    /// after it from the next full backup on.
    chain_began: Option<String>,
    record_count: u64,
    transactions: u64,
    file_size_bytes: u64,
    /// Up to when changes are exported now.
    #[serde(with = "time::serde::rfc3339")]
    taken_at: OffsetDateTime,
    /// Changes that have left the database, for they were exported and the keep window has passed.
    rows_removed: u64,
    /// Across what no replay goes: take a full backup.
    barriers: Vec<Barrier>,
    not_captured: Vec<Uncaptured>,
    warnings: Vec<String>,
}

impl ChangesReply {
    /// The segment that was exported.
    pub(crate) fn segment_id(&self) -> Option<&str> {
        self.segment.as_ref().map(|segment| segment.segment_id.as_str())
    }
}

/// Carries it out.
///
/// # Errors
/// What the store and the database answer.
pub(crate) async fn export<S: ObjectStore>(
    exporter: &Exporter<S>,
    deadline: SystemTime,
) -> Result<ChangesReply, Failure> {
    let (status, segment) = match exporter.export(deadline).await? {
        Exported::Made(made) => ("completed", Some(segment_reply(*made))),
        Exported::Running => ("running", None),
    };
    Ok(ChangesReply { backup_type: "changes", status, segment })
}

fn segment_reply(made: ExportMade) -> SegmentReply {
    let ExportMade { manifest, file_size_bytes, chain_began, uncaptured, rows_removed, warnings } = made;
    SegmentReply {
        segment_id: manifest.segment_id,
        chain_began,
        record_count: manifest.rows,
        transactions: manifest.transactions,
        file_size_bytes,
        taken_at: manifest.taken_at,
        rows_removed,
        barriers: manifest.barriers,
        not_captured: uncaptured,
        warnings,
    }
}

/// Tables that are to be captured, or captured no more. Without tables it only lists.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptureRequest {
    #[serde(default)]
    tables: Vec<String>,
    #[serde(default = "dry")]
    dry_run: bool,
    actor: Option<String>,
    reason: Option<String>,
}

const EXAMPLE: &str = r#"{"action":"capture","tables":["public.orders"],"dry_run":false,"actor":"ada","reason":"orders are to come back to the minute"}"#;

impl CaptureRequest {
    /// The tables, and who orders it and why; no author for a dry run.
    ///
    /// # Errors
    /// `InvalidRequest`.
    pub(crate) fn understood(&self) -> Result<(Vec<TableName>, Option<Mandate>), Failure> {
        let refuse = |reason: String| Failure::invalid_request(format!("{reason}. Example: {EXAMPLE}"));
        let names = self.tables.iter().map(|name| name.parse());
        let tables = names.collect::<Result<_, String>>().map_err(refuse)?;
        if self.dry_run {
            return Ok((tables, None));
        }
        let given = |text: &Option<String>| {
            text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        match (self.tables.is_empty(), given(&self.actor), given(&self.reason)) {
            (true, ..) => Err(refuse("tables names what is to be captured or released".to_owned())),
            (false, Some(actor), Some(reason)) => Ok((tables, Some(Mandate { actor, reason }))),
            _ => Err(refuse("capture and release need actor and reason, for the audit log".to_owned())),
        }
    }
}

/// What is captured, or would be.
#[derive(Debug, Serialize)]
pub struct CaptureReply {
    action: Order,
    status: &'static str,
    dry_run: bool,
    tables: Vec<String>,
    captured: Vec<Captured>,
    not_captured: Vec<Uncaptured>,
}

/// Carries it out.
///
/// # Errors
/// `InvalidRequest`, `UnknownTable`, and what the database answers.
pub(crate) async fn order(
    database: &PgConnectOptions,
    schemas: &SchemaSelection,
    order: Order,
    request: &CaptureRequest,
) -> Result<CaptureReply, Failure> {
    let (tables, author) = request.understood()?;
    let ordered = carry_out(database, schemas, order, &tables, author.as_ref()).await?;
    Ok(CaptureReply {
        action: order,
        status: "completed",
        dry_run: author.is_none(),
        tables: tables.iter().map(ToString::to_string).collect(),
        captured: ordered.captured,
        not_captured: ordered.not_captured,
    })
}
