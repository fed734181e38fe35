//! How a run begins, and how it ends: which lists are read, what is answered, and what the next run goes on from.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use recoup::events::inbox::WriteError;
use recoup::events::reading::Family;
use recoup::events::receive::Accounts;
use recoup::failure::Failure;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::Run;
use super::listing::{Slice, is_listed, is_read_whole};
use super::progress::Progress;
use super::repair::Sponsor;
use super::reply::{Counts, Remaining, Reply};
use super::told::Told;
use crate::differences::Differences;
use crate::runs::{self, Ended};

/// The API version that is asked for where no event says which one ours have.
const VERSION: &str = "2026-09-30.endive";

impl Run<'_> {
    pub(super) async fn begin(&mut self) -> Result<Progress, Failure> {
        let newest: Option<Option<String>> = sqlx::query_scalar(
            "select api_version from recoup.webhook_events where status = 'processed' order by created desc limit 1",
        )
        .fetch_optional(&mut self.connection)
        .await
        .map_err(WriteError::from)?;
        // The shapes that our events have, so that what they say and what a list says is said alike.
        let version = newest.flatten().unwrap_or_else(|| VERSION.to_owned());
        let mut run = Progress {
            reply: self.empty_reply(),
            sponsor: Sponsor {
                actor: self.request.actor.clone().unwrap_or_else(|| "reconcile".to_owned()),
                reason: self.request.reason.clone().unwrap_or_else(|| "Stripe's object says so".to_owned()),
            },
            version,
            left: BTreeMap::new(),
            waiting: VecDeque::new(),
            spans: BTreeMap::new(),
            numbers: 0,
            later: Vec::new(),
            lacking: Vec::new(),
            unrepaired: BTreeSet::new(),
            elsewhere: HashSet::new(),
            tops: BTreeMap::new(),
            told: Told::default(),
            lost: BTreeSet::new(),
        };
        match self.request.left.take() {
            Some(left) => left.into_iter().for_each(|slice| run.add(slice)),
            None => match (&self.request.account, &self.rules.accounts) {
                (Some(account), _) => self.add_lists(&mut run, Some(account)),
                (None, accounts) => {
                    self.add_lists(&mut run, None);
                    if let Accounts::Listed(listed) = accounts {
                        listed.iter().for_each(|account| self.add_lists(&mut run, Some(account)));
                    }
                }
            },
        }
        Ok(run)
    }

    /// All lists of the platform, or of an account.
    pub(super) fn add_lists(&self, run: &mut Progress, account: Option<&str>) {
        for family in Family::ALL {
            // Accounts are connected to the platform, and only it lists them.
            let no_accounts = account.is_some() || self.rules.accounts == Accounts::None;
            if !is_listed(family, &run.version) || (family == Family::Account && no_accounts) {
                continue;
            }
            let whole = is_read_whole(family, self.request.asked_from);
            run.add(Slice {
                family,
                account: account.map(str::to_owned),
                from: (!whole).then_some(self.window.from),
                to: self.window.to,
                after: None,
            });
        }
    }

    fn empty_reply(&self) -> Reply {
        let mut warnings = Vec::new();
        if self.request.metadata.is_some() {
            warnings.push(
                "with metadata only what Stripe has is looked for here; rows do not keep metadata".to_owned(),
            );
        }
        Reply {
            action: "objects",
            status: "completed",
            dry_run: self.dry_run,
            from: self.window.from,
            to: self.window.to,
            account: self.request.account.clone(),
            metadata: self.request.metadata.clone(),
            total: Counts::default(),
            objects: BTreeMap::new(),
            api_calls: 0,
            drift: false,
            findings: Vec::new(),
            differences: Differences::default(),
            remaining: None,
            warnings,
            report: None,
        }
    }

    pub(super) fn close(&self, run: &mut Progress) {
        let left: Vec<Slice> = run.left.values().cloned().collect();
        let reply = &mut run.reply;
        if !left.is_empty() {
            reply.status = "partial";
            reply.remaining = Some(Remaining {
                action: "objects",
                from: self.window.from,
                to: self.window.to,
                dry_run: self.dry_run,
                account: self.request.account.clone(),
                metadata: self.request.metadata.clone(),
                actor: run.sponsor.actor.clone(),
                reason: run.sponsor.reason.clone(),
                left,
            });
        }
        let total = &reply.total;
        let found = total.missing_here + total.different;
        let open = if self.dry_run { found } else { total.unrepaired };
        reply.drift = open + total.missing_there + total.unreadable > 0
            || reply.remaining.is_some()
            || !run.lost.is_empty();
    }

    pub(super) async fn record(&mut self, started: OffsetDateTime, reply: &Reply) -> Result<(), Failure> {
        let total = &reply.total;
        let run = Ended {
            scope: "objects",
            narrowed: reply.account.is_some() || reply.metadata.is_some(),
            from: self.window.from,
            to: self.window.to,
            dry_run: self.dry_run,
            started,
            status: reply.status,
            listed: total.listed,
            missing: total.missing_here + total.different,
            repaired: total.repaired,
            failed: total.unrepaired + total.unreadable + total.missing_there,
        };
        Ok(runs::record(&mut self.connection, &run).await.map_err(WriteError::from)?)
    }
}

/// Where the last run ended that compared its whole window, of everything, and repaired what it found.
///
/// # Errors
/// Why Postgres could not be asked.
pub async fn last_good_run(connection: &mut PgConnection) -> Result<Option<OffsetDateTime>, Failure> {
    sqlx::query_scalar(
        "select max(window_to) from recoup.reconciliations
         where scope = 'objects' and status = 'completed' and not dry_run and not narrowed",
    )
    .fetch_one(connection)
    .await
    .map_err(|error| WriteError::from(error).into())
}
