//! The scope `events`: what Stripe lists and the inbox lacks, applied. The platform's own list has nothing of its connected
//! accounts: theirs are read one after the other.
//!
//! Stripe lists newest first, and each page is settled before the next is asked for: memory does not grow with
//! the window. That the newest come first does not matter, because rows follow Stripe's order and not ours.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use recoup::events::inbox::{Source, WriteError};
use recoup::events::receive::{Outcome, Rules, receive};
use recoup::failure::Failure;
use recoup::stripe::{Client, StripeError};
use serde::Serialize;
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::accounts::{self, Account, Cursor};
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
    /// Only this connected account, where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Accounts whose lists were read, the platform's own among them.
    pub accounts: u64,
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
            let account = event.account.as_deref();
            let mut finding =
                difference::Finding::of(difference::Kind::MissingHere, "event", &event.id, account);
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
    /// The connected account in whose list it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Account,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    cursor: Cursor,
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
    /// Only this connected account.
    pub account: Option<String>,
    /// Where an invocation before stopped.
    pub cursor: Option<Cursor>,
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
        let mut lost = false;
        for account in accounts::compared(self.stripe, self.rules, self.account.as_deref()).await? {
            let Some(to) = Cursor::left_of(self.cursor.as_ref(), &account, self.window.to) else { continue };
            let window = Window { to, ..self.window };
            match self.compare(&account, window, deadline, &mut reply).await {
                Ok(None) => reply.accounts += 1,
                Ok(Some(to)) => {
                    reply.status = "partial";
                    let Window { from, to: end } = self.window;
                    reply.remaining = Some(Remaining {
                        action: "events",
                        from,
                        to: end,
                        dry_run: self.dry_run,
                        account: self.account.clone(),
                        cursor: Cursor { account, to },
                    });
                    break;
                }
                Err(Stopped::Account(account)) if self.account.is_none() => {
                    lost = true;
                    reply.warnings.push(accounts::left_words(&account));
                }
                Err(stopped) => return Err(stopped.into()),
            }
        }
        let unsettled = if self.dry_run { reply.missing } else { reply.failed };
        reply.drift = unsettled > 0 || lost || reply.remaining.is_some();
        self.record(started, &reply).await?;
        Ok(reply)
    }

    /// Compares an account's list. Gives the second where it stopped because the invocation nears its deadline.
    async fn compare(
        &mut self,
        account: &Account,
        window: Window,
        deadline: SystemTime,
        reply: &mut Reply,
    ) -> Result<Option<OffsetDateTime>, Stopped> {
        let mut pages = Pages::of(self.stripe, account.as_deref(), &window);
        let mut oldest = window.to;
        loop {
            if SystemTime::now() + RESERVE > deadline {
                return Ok(Some(oldest));
            }
            let Some(page) = pages.next().await? else { return Ok(None) };
            if let Some(last) = page.last().and_then(|last| last.created) {
                oldest = OffsetDateTime::from_unix_timestamp(last).unwrap_or(oldest);
            }
            self.settle(account, page, reply).await?;
            tracing::info!(
                listed = reply.listed,
                missing = reply.missing,
                applied = reply.applied,
                "events compared"
            );
        }
    }

    fn empty_reply(&self) -> Reply {
        let warnings = self.remedy.clone().into_iter().collect();
        Reply {
            action: "events",
            status: "completed",
            dry_run: self.dry_run,
            from: self.window.from,
            to: self.window.to,
            account: self.account.clone(),
            accounts: 0,
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

    async fn settle(
        &mut self,
        account: &Account,
        page: Vec<Listed>,
        reply: &mut Reply,
    ) -> Result<(), Failure> {
        let ids: Vec<&str> = page.iter().map(|event| event.id.as_str()).collect();
        let missing: HashSet<String> = missing_of(&mut self.connection, &ids).await?;
        reply.listed += page.len() as u64;
        for event in page.into_iter().filter(|event| missing.contains(&event.id)) {
            reply.missing += 1;
            let finding = if self.dry_run {
                let (id, created) = (event.id, event.created);
                Finding { id, account: account.clone(), created, outcome: "missing", reason: None }
            } else {
                self.apply(account, event, reply).await?
            };
            if reply.events.len() < IN_REPLY_MAX {
                reply.events.push(finding);
            }
        }
        Ok(())
    }

    async fn apply(
        &mut self,
        account: &Account,
        event: Listed,
        reply: &mut Reply,
    ) -> Result<Finding, Failure> {
        let body = event.body(account.as_deref());
        let (stripe, rules) = (self.stripe, self.rules);
        let receipt =
            receive(&mut self.connection, stripe, rules, Source::Reconcile, body.as_bytes()).await?;
        let (count, outcome, reason) = match receipt.outcome {
            Outcome::Applied => (&mut reply.applied, "applied", None),
            Outcome::Duplicate => (&mut reply.duplicate, "duplicate", None),
            Outcome::Ignored(reason) => (&mut reply.ignored, "ignored", Some(reason)),
            Outcome::Failed(reason) => (&mut reply.failed, "failed", Some(reason)),
            Outcome::Dead(reason) => (&mut reply.failed, "dead", Some(reason)),
        };
        *count += 1;
        let (id, created) = (event.id, event.created);
        Ok(Finding { id, account: account.clone(), created, outcome, reason })
    }

    async fn record(&mut self, started: OffsetDateTime, reply: &Reply) -> Result<(), Failure> {
        let run = Ended {
            scope: "events",
            narrowed: self.account.is_some(),
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

/// Why a list was not read to its end.
enum Stopped {
    /// Stripe lets us into our own account, and not into this one.
    Account(String),
    /// Anything else.
    Failed(Failure),
}

impl From<StripeError> for Stopped {
    fn from(error: StripeError) -> Self {
        match error {
            StripeError::AccountRefused { account } => Self::Account(account),
            error => Self::Failed(error.into()),
        }
    }
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Stopped> for Failure {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Account(account) => StripeError::AccountRefused { account }.into(),
            Stopped::Failed(failure) => failure,
        }
    }
}

/// Where the last run ended that compared its whole window, of every account, and applied what it found.
///
/// # Errors
/// Why Postgres could not be asked.
pub async fn last_good_run(connection: &mut PgConnection) -> Result<Option<OffsetDateTime>, Failure> {
    sqlx::query_scalar(
        "select max(window_to) from recoup.reconciliations
         where scope = 'events' and status = 'completed' and not dry_run and not narrowed",
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
