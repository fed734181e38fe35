//! The changes since the newest backups: up to when they are exported, which is what a loss of the database would cost
//! now, and whether all tables are captured.

use recoup::archive::schema::SchemaSelection;
use recoup::archive::store::S3Store;
use recoup::changes::chain::list_segments;
use recoup::changes::names::CHANGES_PREFIX;
use recoup::changes::uncaptured::{Uncaptured, uncaptured};
use recoup::db;
use recoup::failure::Failure;
use recoup::migrations::SCHEMA;
use recoup::telemetry::metrics::{Metric, Unit};
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use time::OffsetDateTime;

use super::{Expectations, Part, Seen, Status};

const LATE: &str = "run backup {\"backup_type\":\"changes\"}, and read the log of its last scheduled run: RUNBOOK, Changes are late";
const UNREADABLE: &str = "check that the bucket can be reached";
const NOT_CAPTURED: &str = "capture them with backup {\"action\":\"capture\"}, or leave their schema out of BACKUP_SCHEMAS: between two full backups their changes are lost with the database";

/// How old the newest segment is, by the bucket: a table may be lost with the database.
pub(crate) async fn exported(store: &S3Store, expected: &Expectations, now: OffsetDateTime) -> Seen {
    let mut seen = Seen::default();
    let segments = match list_segments(store, CHANGES_PREFIX).await {
        Ok(segments) => segments,
        Err(error) => {
            seen.parts.insert("changes", Part::unseen(&error.into(), UNREADABLE));
            return seen;
        }
    };
    // The newest by its time: chains overlap in names where clocks did.
    let sealed = segments.iter().filter(|(_, segment)| segment.sealed).map(|(id, _)| id);
    let newest = sealed.max_by_key(|id| id.taken_at());
    let age = newest.map(|id| (now - id.taken_at()).max(time::Duration::ZERO));
    let is_late = age.is_none_or(|age| age > expected.changes_age);
    let known = json!({
        "newest": newest.map(ToString::to_string),
        "worst_case_loss_seconds": age.map(time::Duration::whole_seconds),
        "age_seconds_max": expected.changes_age.whole_seconds(),
    });
    let status = if is_late { Status::Failing } else { Status::Ok };
    seen.parts.insert("changes", Part::new(status, known, LATE));
    if let Some(age) = age {
        seen.metrics.push(Metric::new("ChangesAgeSeconds", Unit::Seconds, age.as_seconds_f64().round()));
    }
    seen
}

/// Whether every table is captured.
pub(crate) async fn captured(options: &PgConnectOptions, schemas: &SchemaSelection) -> Seen {
    let mut seen = Seen::default();
    let part = match read(options, schemas).await {
        Ok(tables) => {
            let ours = format!("{SCHEMA}.");
            let status = match tables.iter().map(|table| table.table.starts_with(&ours)).max() {
                None => Status::Ok,
                Some(false) => Status::Degraded,
                Some(true) => Status::Failing,
            };
            Part::new(status, json!({"not_captured": tables}), NOT_CAPTURED)
        }
        Err(failure) => Part::unseen(&failure, super::standing::UNREACHABLE),
    };
    seen.parts.insert("capture", part);
    seen
}

async fn read(options: &PgConnectOptions, schemas: &SchemaSelection) -> Result<Vec<Uncaptured>, Failure> {
    let mut connection = db::connect(options).await?;
    Ok(uncaptured(&mut connection, schemas).await?)
}
