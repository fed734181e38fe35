//! The action `retry`: what waits for another try. On a schedule; and for one event, by a person.

use std::time::{Duration, SystemTime};

use recoup::events::inbox::{Source, WriteError};
use recoup::events::receive::{Outcome, Receipt, Rules, receive};
use recoup::events::retry::{self, Marked, RefetchError};
use recoup::failure::Failure;
use recoup::stripe::Client;
use serde::Serialize;
use serde_json::json;
use sqlx::{Connection, PgConnection, Row};

use crate::differences::IN_REPLY_MAX;
use crate::events::Finding;
use crate::request::Reset;

/// Nothing new is begun when less than this is left of the invocation.
const RESERVE: Duration = Duration::from_secs(60);

/// What was tried again.
#[derive(Debug, Serialize)]
pub struct Reply {
    /// `retry`.
    pub action: &'static str,
    /// `completed`, or `partial` where the time was up: the next run goes on.
    pub status: &'static str,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Failed events that were due.
    pub due: u64,
    /// Of these, how many were applied, or turned out to be settled.
    pub applied: u64,
    /// How many have no effect after all.
    pub ignored: u64,
    /// How many failed again, and are tried again later.
    pub failed: u64,
    /// How many failed for the last time, and wait for a person.
    pub dead: u64,
    /// Objects whose events do not say which of them was the last.
    pub marked: u64,
    /// Of these, how many were asked of Stripe and written.
    pub refetched: u64,
    /// Lines of sales that the catalogue knows now.
    pub lines_settled: u64,
    /// The first hundred of the events.
    pub events: Vec<Finding>,
    /// What went wrong besides.
    pub warnings: Vec<String>,
}

/// One run.
pub struct Run<'r> {
    /// With the settings of [`recoup::events::inbox::session_options`].
    pub connection: PgConnection,
    /// Where lines and objects are fetched.
    pub stripe: &'r Client,
    /// Which events are ours.
    pub rules: &'r Rules,
    /// Whether to change nothing.
    pub dry_run: bool,
}

impl Run<'_> {
    /// Tries everything that is due.
    ///
    /// # Errors
    /// Why Postgres could not be used; what was applied by then stays applied.
    pub async fn due(mut self, deadline: SystemTime) -> Result<Reply, Failure> {
        let mut reply = self.empty_reply();
        if self.dry_run {
            let due = retry::count_due(&mut self.connection).await.map_err(WriteError::from)?;
            reply.due = u64::try_from(due).unwrap_or_default();
            reply.marked = self.marked().await?.len() as u64;
            return Ok(reply);
        }
        while has_time(deadline, &mut reply) {
            let bodies = retry::lease_due(&mut self.connection).await.map_err(WriteError::from)?;
            if bodies.is_empty() {
                break;
            }
            for body in bodies {
                if !has_time(deadline, &mut reply) {
                    // Its lease ends in ten minutes.
                    break;
                }
                let receipt = self.receive(Source::Reconcile, &body).await?;
                reply.count(receipt);
            }
        }
        for marked in self.marked().await? {
            if !has_time(deadline, &mut reply) {
                break;
            }
            reply.marked += 1;
            match self.refetch(&marked).await? {
                Ok(()) => reply.refetched += 1,
                Err(why) => reply.warnings.push(format!("{} {}: {why}", marked.object, marked.id)),
            }
        }
        let lines = retry::settle_lines(&mut self.connection).await.map_err(WriteError::from)?;
        reply.lines_settled = u64::try_from(lines).unwrap_or_default();
        tracing::info!(
            due = reply.due,
            applied = reply.applied,
            failed = reply.failed,
            dead = reply.dead,
            marked = reply.marked,
            refetched = reply.refetched,
            lines_settled = reply.lines_settled,
            "failed events tried again"
        );
        Ok(reply)
    }

    /// Tries one event that failed, or is dead, as a person asks for it.
    ///
    /// # Errors
    /// `EventNotFound`, `EventSettled`, or why Postgres could not be used.
    pub async fn one(mut self, reset: &Reset) -> Result<Reply, Failure> {
        let mut reply = self.empty_reply();
        reply.due = 1;
        let Reset { event_id, actor, reason } = reset;
        let kept = sqlx::query(
            "select status, attempts, last_error, payload, payload_raw from recoup.webhook_events where id = $1",
        )
        .bind(event_id)
        .fetch_optional(&mut self.connection)
        .await
        .map_err(WriteError::from)?;
        let Some(kept) = kept else {
            return Err(Failure::new(
                "EventNotFound",
                format!(
                    "retry event {event_id}: the inbox does not have it; look for it with the action events"
                ),
            ));
        };
        let column = |error: sqlx::Error| Failure::from(WriteError::from(error));
        let status: String = kept.try_get("status").map_err(column)?;
        if !matches!(status.as_str(), "failed" | "dead") {
            return Err(Failure::new(
                "EventSettled",
                format!("retry event {event_id}: it is {status}; only a failed or dead event is tried again"),
            ));
        }
        let last_error: Option<String> = kept.try_get("last_error").map_err(column)?;
        if self.dry_run {
            reply.events.push(Finding {
                id: event_id.clone(),
                account: None,
                created: None,
                outcome: if status == "dead" { "dead" } else { "failed" },
                reason: last_error,
            });
            return Ok(reply);
        }
        let before = json!({
            "status": status,
            "attempts": kept.try_get::<i32, _>("attempts").map_err(column)?,
            "last_error": last_error,
        });
        self.reset(event_id, actor, reason, before).await.map_err(WriteError::from)?;
        let text: Option<String> = kept.try_get("payload").map_err(column)?;
        let raw: Option<Vec<u8>> = kept.try_get("payload_raw").map_err(column)?;
        let body = text.map(String::into_bytes).or(raw).unwrap_or_default();
        let receipt = self.receive(Source::Operator, &body).await?;
        reply.count(receipt);
        Ok(reply)
    }

    /// Gives the event all its tries again. Should the next step fail, the schedule takes it up.
    async fn reset(
        &mut self,
        event_id: &str,
        actor: &str,
        reason: &str,
        before: serde_json::Value,
    ) -> Result<(), sqlx::Error> {
        let mut transaction = self.connection.begin().await?;
        sqlx::query(
            "update recoup.webhook_events
             set status = 'failed', attempts = 0, next_attempt_at = clock_timestamp() + interval '1 minute'
             where id = $1 and status in ('failed', 'dead')",
        )
        .bind(event_id)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "insert into recoup.audit_log (actor, action, subject, reason, before, after)
             values ($1, 'reset event', 'event ' || $2, $3, $4, $5)",
        )
        .bind(actor)
        .bind(event_id)
        .bind(reason)
        .bind(before)
        .bind(json!({"status": "failed", "attempts": 0}))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await
    }

    async fn receive(&mut self, source: Source, body: &[u8]) -> Result<Receipt, Failure> {
        Ok(receive(&mut self.connection, self.stripe, self.rules, source, body).await?)
    }

    async fn marked(&mut self) -> Result<Vec<Marked>, Failure> {
        Ok(retry::marked(&mut self.connection).await.map_err(WriteError::from)?)
    }

    /// Asks Stripe for an object and writes it. The inner error is of this object alone: the next run tries again.
    async fn refetch(&mut self, marked: &Marked) -> Result<Result<(), String>, Failure> {
        let body = match self.stripe.get(&marked.path(), marked.account.as_deref()).await {
            Ok(body) => Some(body),
            Err(error) if error.is_missing() => None,
            Err(error) => return Ok(Err(error.to_string())),
        };
        match retry::write_fetched(&mut self.connection, marked, body.as_deref()).await {
            Ok(()) => Ok(Ok(())),
            Err(RefetchError::Database(error)) => Err(WriteError::from(error).into()),
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    fn empty_reply(&self) -> Reply {
        Reply {
            action: "retry",
            status: "completed",
            dry_run: self.dry_run,
            due: 0,
            applied: 0,
            ignored: 0,
            failed: 0,
            dead: 0,
            marked: 0,
            refetched: 0,
            lines_settled: 0,
            events: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

impl Reply {
    fn count(&mut self, receipt: Receipt) {
        self.due = self.due.max(self.applied + self.ignored + self.failed + self.dead + 1);
        let (count, outcome, reason) = match receipt.outcome {
            Outcome::Applied => (&mut self.applied, "applied", None),
            Outcome::Duplicate => (&mut self.applied, "duplicate", None),
            Outcome::Ignored(reason) => (&mut self.ignored, "ignored", Some(reason)),
            Outcome::Failed(reason) => (&mut self.failed, "failed", Some(reason)),
            Outcome::Dead(reason) => (&mut self.dead, "dead", Some(reason)),
        };
        *count += 1;
        if self.events.len() < IN_REPLY_MAX {
            let created = receipt.created.map(time::OffsetDateTime::unix_timestamp);
            self.events.push(Finding { id: receipt.event_id, account: None, created, outcome, reason });
        }
    }
}

fn has_time(deadline: SystemTime, reply: &mut Reply) -> bool {
    let has_time = SystemTime::now() + RESERVE < deadline;
    if !has_time {
        reply.status = "partial";
    }
    has_time
}
