//! The scope `events`: what Stripe lists and the inbox lacks, applied.
//!
//! Stripe lists newest first, and each page is settled before the next is asked for: memory does not grow with
//! the window. That the newest come first does not matter, because rows follow Stripe's order and not ours.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use recoup::events::inbox::{Source, WriteError};
use recoup::events::receive::{Outcome, Rules, receive};
use recoup::failure::Failure;
use recoup::stripe::Client;
use serde::Serialize;
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::differences::{Differences, IN_REPLY_MAX, Tally};
use crate::finding as difference;
use crate::listing::{Listed, Pages};
use crate::report::{About, Location, Report};
use crate::request::Window;
use crate::runs::{self, Ended};

/// No new page is begun when less than this is left of the invocation.
const RESERVE: Duration = Duration::from_secs(20);

/// What was found, and done about it.
#[derive(Debug, Serialize)]
pub struct Reply {
    /// `events`.
    pub action: &'static str,
    /// `completed`, or `partial` where the time was up: `remaining` says what is left.
    pub status: &'static str,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// The window's first second.
    #[serde(with = "time::serde::rfc3339")]
    pub from: OffsetDateTime,
    /// The window's last second.
    #[serde(with = "time::serde::rfc3339")]
    pub to: OffsetDateTime,
    /// Events that Stripe listed.
    pub listed: u64,
    /// Of these, how many were missing here, or stored and failed.
    pub missing: u64,
    /// Of the missing, how many were applied with their effects.
    pub applied: u64,
    /// How many were kept without effect: not of our mode, account or types.
    pub ignored: u64,
    /// How many arrived by themselves meanwhile.
    pub duplicate: u64,
    /// How many could not be applied; they are kept, with the reason.
    pub failed: u64,
    /// Whether something is still missing or failed.
    pub drift: bool,
    /// The first hundred of the missing.
    pub events: Vec<Finding>,
    /// What is left to do, as a payload for the next invocation.
    pub remaining: Option<Remaining>,
    /// What the operator should know besides.
    pub warnings: Vec<String>,
    /// Where the report is.
    pub report: Option<Location>,
}

impl Reply {
    /// As the report tells it.
    pub fn report(&self, started_at: OffsetDateTime) -> Report {
        let mut differences = Differences::default();
        for event in &self.events {
            let mut finding =
                difference::Finding::of(difference::Kind::MissingHere, "event", &event.id, None);
            // What has no effect here is kept, and nothing is left to do for it.
            finding.repaired = matches!(event.outcome, "applied" | "duplicate" | "ignored");
            finding.reason.clone_from(&event.reason);
            differences.add(finding);
        }
        if let Some(like) = differences.kept().first().cloned() {
            let done = if self.dry_run { 0 } else { self.applied + self.duplicate + self.ignored };
            let unseen = Tally {
                found: self.missing.saturating_sub(differences.found()),
                repaired: done.saturating_sub(differences.repaired()),
            };
            differences.add_unseen(&like, unseen);
        }
        let about = About {
            action: self.action,
            status: self.status,
            dry_run: self.dry_run,
            from: self.from,
            to: self.to,
            started_at,
            drift: self.drift,
        };
        let numbers = [
            ("listed", self.listed),
            ("missing", self.missing),
            ("applied", self.applied),
            ("ignored", self.ignored),
            ("duplicate", self.duplicate),
            ("failed", self.failed),
        ];
        Report::of(about, &numbers, &differences, &self.warnings)
    }
}

/// One event that was missing here.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// Its id.
    pub id: String,
    /// When it happened, in seconds since 1970.
    pub created: Option<i64>,
    /// `missing` in a dry run, else `applied`, `duplicate`, `ignored`, `failed` or `dead`.
    pub outcome: &'static str,
    /// Why it was ignored or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The payload that goes on where this invocation had to stop.
#[derive(Debug, Serialize)]
pub struct Remaining {
    action: &'static str,
    #[serde(with = "time::serde::rfc3339")]
    from: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    to: OffsetDateTime,
    dry_run: bool,
}

/// One run over a window.
pub struct Run<'r> {
    /// With the settings of [`recoup::events::inbox::session_options`].
    pub connection: PgConnection,
    /// Where events are listed and line items fetched.
    pub stripe: &'r Client,
    /// Which events are ours.
    pub rules: &'r Rules,
    /// The window.
    pub window: Window,
    /// What to do about a gap that events cannot close, or soon cannot.
    pub remedy: Option<String>,
    /// Whether to change nothing.
    pub dry_run: bool,
}

impl Run<'_> {
    /// Compares and applies until the window is done or the invocation nears its deadline.
    ///
    /// # Errors
    /// Why Stripe or Postgres could not be used; what was applied by then stays applied.
    pub async fn finish(mut self, started: OffsetDateTime, deadline: SystemTime) -> Result<Reply, Failure> {
        let mut reply = self.empty_reply();
        let mut pages = Pages::of(self.stripe, &self.window);
        let mut oldest = self.window.to;
        loop {
            if SystemTime::now() + RESERVE > deadline {
                reply.status = "partial";
                let Window { from, .. } = self.window;
                reply.remaining =
                    Some(Remaining { action: "events", from, to: oldest, dry_run: self.dry_run });
                break;
            }
            let Some(page) = pages.next().await? else { break };
            if let Some(last) = page.last().and_then(|last| last.created) {
                oldest = OffsetDateTime::from_unix_timestamp(last).unwrap_or(oldest);
            }
            self.settle(page, &mut reply).await?;
            tracing::info!(
                listed = reply.listed,
                missing = reply.missing,
                applied = reply.applied,
                "events compared"
            );
        }
        let unsettled = if self.dry_run { reply.missing } else { reply.failed };
        reply.drift = unsettled > 0 || reply.remaining.is_some();
        self.record(started, &reply).await?;
        Ok(reply)
    }

    fn empty_reply(&self) -> Reply {
        let warnings = self.remedy.clone().into_iter().collect();
        Reply {
            action: "events",
            status: "completed",
            dry_run: self.dry_run,
            from: self.window.from,
            to: self.window.to,
            listed: 0,
            missing: 0,
            applied: 0,
            ignored: 0,
            duplicate: 0,
            failed: 0,
            drift: false,
            events: Vec::new(),
            remaining: None,
            warnings,
            report: None,
        }
    }

    async fn settle(&mut self, page: Vec<Listed>, reply: &mut Reply) -> Result<(), Failure> {
        let ids: Vec<&str> = page.iter().map(|event| event.id.as_str()).collect();
        let missing: HashSet<String> = missing_of(&mut self.connection, &ids).await?;
        reply.listed += page.len() as u64;
        for event in page.into_iter().filter(|event| missing.contains(&event.id)) {
            reply.missing += 1;
            let finding = if self.dry_run {
                Finding { id: event.id, created: event.created, outcome: "missing", reason: None }
            } else {
                self.apply(event, reply).await?
            };
            if reply.events.len() < IN_REPLY_MAX {
                reply.events.push(finding);
            }
        }
        Ok(())
    }

    async fn apply(&mut self, event: Listed, reply: &mut Reply) -> Result<Finding, Failure> {
        let body = event.text.get().as_bytes();
        let receipt = receive(&mut self.connection, self.stripe, self.rules, Source::Reconcile, body).await?;
        let (count, outcome, reason) = match receipt.outcome {
            Outcome::Applied => (&mut reply.applied, "applied", None),
            Outcome::Duplicate => (&mut reply.duplicate, "duplicate", None),
            Outcome::Ignored(reason) => (&mut reply.ignored, "ignored", Some(reason)),
            Outcome::Failed(reason) => (&mut reply.failed, "failed", Some(reason)),
            Outcome::Dead(reason) => (&mut reply.failed, "dead", Some(reason)),
        };
        *count += 1;
        Ok(Finding { id: event.id, created: event.created, outcome, reason })
    }

    async fn record(&mut self, started: OffsetDateTime, reply: &Reply) -> Result<(), Failure> {
        let run = Ended {
            scope: "events",
            narrowed: false,
            from: self.window.from,
            to: self.window.to,
            dry_run: self.dry_run,
            started,
            status: reply.status,
            listed: reply.listed,
            missing: reply.missing,
            repaired: reply.applied,
            failed: reply.failed,
        };
        Ok(runs::record(&mut self.connection, &run).await.map_err(WriteError::from)?)
    }
}

/// Where the last run ended that compared its whole window and applied what it found.
///
/// # Errors
/// Why Postgres could not be asked.
pub async fn last_good_run(connection: &mut PgConnection) -> Result<Option<OffsetDateTime>, Failure> {
    sqlx::query_scalar(
        "select max(window_to) from recoup.reconciliations
         where scope = 'events' and status = 'completed' and not dry_run",
    )
    .fetch_one(connection)
    .await
    .map_err(|error| WriteError::from(error).into())
}

/// Of `ids`, those that the inbox lacks or holds as failed.
async fn missing_of(connection: &mut PgConnection, ids: &[&str]) -> Result<HashSet<String>, Failure> {
    let missing: Vec<String> = sqlx::query_scalar(
        "select listed.id
         from unnest($1::text[]) as listed (id)
         where not exists (
             select from recoup.webhook_events as kept where kept.id = listed.id and kept.status <> 'failed'
         )",
    )
    .bind(ids)
    .fetch_all(connection)
    .await
    .map_err(WriteError::from)?;
    Ok(missing.into_iter().collect())
}
