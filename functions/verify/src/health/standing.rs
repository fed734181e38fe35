//! The database: whether it can be reached, and what its tables say of events, drills and runs.

use std::collections::BTreeMap;

use recoup::archive::ArchiveError;
use recoup::db;
use recoup::failure::Failure;
use recoup::telemetry::metrics::{Metric, Unit};
use serde_json::{Map, Value, json};
use sqlx::FromRow;
use sqlx::postgres::PgConnectOptions;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::{Expectations, Part, Seen, Status};
use crate::signals::count;

pub(super) const UNREACHABLE: &str = "check that the server runs, the address in the database's secret, and that the migrations are applied: RUNBOOK, Is it healthy?";
const NO_DRILL: &str = "run verify {\"action\":\"drill\"}: a backup that was never restored is a hope";
const CHECK_RED: &str = "run the check again and do what it says: RUNBOOK, A check is red";
const UNSETTLED: &str = "RUNBOOK, Events failed";
const MARKED: &str =
    "reconcile {\"action\":\"retry\",\"dry_run\":false} asks Stripe; if they stay, read its log";
const NOT_RECONCILED: &str = "run reconcile {\"action\":\"events\",\"dry_run\":false} and check its schedule";

#[derive(FromRow)]
struct Standing {
    failed: i64,
    dead: i64,
    oldest_unsettled_at: Option<OffsetDateTime>,
    overdue: i64,
    marked: i64,
    reconciled_at: Option<OffsetDateTime>,
    /// By a drill.
    restored_at: Option<OffsetDateTime>,
}

#[derive(FromRow)]
struct LastCheck {
    action: String,
    status: String,
    backup_id: Option<String>,
    finished_at: OffsetDateTime,
    recovery_seconds: Option<f64>,
}

/// A database that cannot be seen.
pub(crate) fn unseen(failure: &Failure) -> Seen {
    let mut seen = Seen::default();
    seen.parts.insert("database", Part::unseen(failure, UNREACHABLE));
    seen
}

pub(crate) async fn standing(
    options: &PgConnectOptions,
    expected: &Expectations,
    now: OffsetDateTime,
) -> Seen {
    match read(options).await {
        Ok((standing, checks)) => judge(&standing, &checks, expected, now),
        Err(failure) => unseen(&failure),
    }
}

async fn read(options: &PgConnectOptions) -> Result<(Standing, BTreeMap<String, LastCheck>), Failure> {
    let mut connection = db::connect(options).await?;
    let failed = |error: sqlx::Error| ArchiveError::database("read how everything stands", &error);
    let standing = sqlx::query_as(include_str!("../sql/standing.sql"))
        .persistent(false)
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;
    let checks: Vec<LastCheck> = sqlx::query_as(include_str!("../sql/last_checks.sql"))
        .persistent(false)
        .fetch_all(&mut connection)
        .await
        .map_err(failed)?;
    Ok((standing, checks.into_iter().map(|check| (check.action.clone(), check)).collect()))
}

fn judge(
    standing: &Standing,
    checks: &BTreeMap<String, LastCheck>,
    expected: &Expectations,
    now: OffsetDateTime,
) -> Seen {
    let mut seen = Seen::default();
    seen.metrics.extend([
        count("EventsFailed", standing.failed.unsigned_abs()),
        count("EventsDead", standing.dead.unsigned_abs()),
    ]);
    if let Some(restored) = standing.restored_at {
        let age = (now - restored).as_seconds_f64().max(0.0).round();
        seen.metrics.push(Metric::new("DrillAgeSeconds", Unit::Seconds, age));
    }
    let events = match standing {
        Standing { dead: 1.., .. } => Status::Failing,
        Standing { overdue: 1.., .. } => Status::Degraded,
        _ => Status::Ok,
    };
    let oldest = standing.oldest_unsettled_at;
    let known = json!({
        "failed": standing.failed,
        "dead": standing.dead,
        "overdue": standing.overdue,
        "oldest_unsettled_at": oldest.map(text),
    });
    let marked = if standing.marked == 0 { Status::Ok } else { Status::Degraded };
    let reconciled = standing.reconciled_at;
    let reconcile = recent(reconciled, expected.reconcile_age, now);
    seen.parts.extend([
        ("database", Part::new(Status::Ok, json!({}), UNREACHABLE)),
        ("events", Part::new(events, known, UNSETTLED)),
        ("refetch", Part::new(marked, json!({"marked": standing.marked}), MARKED)),
        (
            "reconcile",
            Part::new(reconcile, json!({"last_completed_at": reconciled.map(text)}), NOT_RECONCILED),
        ),
        ("drill", drill(checks.get("drill"), expected, now)),
        ("checks", others(checks, expected, now)),
    ]);
    seen
}

/// The last drill: that it was, that it went well, and how long a recovery took.
fn drill(last: Option<&LastCheck>, expected: &Expectations, now: OffsetDateTime) -> Part {
    let Some(last) = last else {
        return Part::new(Status::Degraded, json!({"last": null}), NO_DRILL);
    };
    let known = json!({
        "last": text(last.finished_at),
        "result": last.status,
        "backup_id": last.backup_id,
        "recovery_seconds": last.recovery_seconds,
    });
    if last.status == "failed" {
        return Part::new(Status::Failing, known, CHECK_RED);
    }
    let status = match last.status.as_str() {
        "passed" => recent(Some(last.finished_at), expected.drill_age, now),
        _ => Status::Degraded,
    };
    Part::new(status, known, NO_DRILL)
}

/// The last run of each other check.
fn others(checks: &BTreeMap<String, LastCheck>, expected: &Expectations, now: OffsetDateTime) -> Part {
    let (mut known, mut status) = (Map::new(), Status::Ok);
    for action in ["full", "quick", "changes", "database", "schema"] {
        let last = checks.get(action);
        status = status.max(match last.map(|last| last.status.as_str()) {
            Some("failed") => Status::Failing,
            Some("error") => Status::Degraded,
            // Somebody may look quickly now and then; the others run every day.
            None | Some(_) if action == "quick" => Status::Ok,
            None | Some(_) => recent(last.map(|last| last.finished_at), expected.check_age, now),
        });
        let value = last.map_or(Value::Null, |last| {
            json!({"last": text(last.finished_at), "result": last.status, "backup_id": last.backup_id})
        });
        known.insert(action.to_owned(), value);
    }
    Part::new(status, json!({"checks": known}), CHECK_RED)
}

fn recent(at: Option<OffsetDateTime>, age_max: Duration, now: OffsetDateTime) -> Status {
    if at.is_some_and(|at| now - at <= age_max) { Status::Ok } else { Status::Degraded }
}

fn text(at: OffsetDateTime) -> Option<String> {
    at.format(&Rfc3339).ok()
}
