//! The scope `objects`: Stripe's objects as they are now against our rows, in both directions.
//!
//! **Reading.** Each family's list is read in slices of time, several at once, as fast as Stripe allows. Each page is
//! settled before its slice goes on, so that memory does not grow with the window.
//!
//! **Finding.** One query a page says which objects differ ([`mod@compare`]). Only those are written ([`mod@repair`]): by the
//! statements that their events use, in a transaction that sees what changes. A dry run takes each back.
//!
//! **Telling.** What is told is what each row held before the run and holds after it ([`mod@told`]), so that a dry run and a
//! real one tell the same, whichever list comes first. A dry run writes all that differs at its end, those together that
//! can meet in a row ([`mod@rehearse`]); a real one writes what differs in its own row at once, and settles what lacks no
//! more than what follows from others when all lists were read.

mod compare;
mod here_only;
mod listing;
mod mend;
mod progress;
mod rehearse;
mod repair;
mod reply;
mod rows;
mod span;
mod told;

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use recoup::events::field::Text;
use recoup::events::inbox::WriteError;
use recoup::events::reading::{Family, Head, Reading};
use recoup::events::receive::{Accounts, Rules};
use recoup::failure::Failure;
use recoup::stripe::{Client, StripeError};
use serde_json::json;
use sqlx::PgConnection;
use time::OffsetDateTime;
use tokio::task::JoinSet;

use self::compare::{Lack, compare};
use self::here_only::here_only;
pub use self::listing::Slice;
use self::listing::{PAGE_OBJECTS_MAX, Page, next_page};
use self::progress::{Later, Progress};
pub use self::reply::Reply;
pub use self::span::last_good_run;
use crate::accounts;
use crate::request::{ObjectsRequest, Window};

/// Nothing new is begun when less than this is left of the invocation.
const RESERVE: Duration = Duration::from_secs(60);

/// Pages that are asked for at once: Stripe answers one list in some hundred milliseconds, and in live mode allows a
/// hundred requests a second.
const PAGES_AT_ONCE_LIVE: usize = 24;
const PAGES_AT_ONCE: usize = 8;

/// Objects that wait for the end of the lists, at most: beyond, they are settled when they are found.
const LATER_MAX: usize = 5_000;

/// Our clock and Stripe's may differ by so many seconds before it is said.
const AHEAD_SECONDS_MAX: i64 = 60;

/// One run over a window.
pub struct Run<'r> {
    /// With the settings of [`recoup::events::inbox::session_options`].
    pub connection: PgConnection,
    /// Where objects are listed.
    pub stripe: &'r Client,
    /// Which objects are ours.
    pub rules: &'r Rules,
    /// The window.
    pub window: Window,
    /// What was asked.
    pub request: ObjectsRequest,
    /// Whether to change nothing.
    pub dry_run: bool,
}

impl Run<'_> {
    /// Compares and repairs until the lists are read or the invocation nears its deadline.
    ///
    /// # Errors
    /// Why Stripe or Postgres could not be used; what was repaired by then stays repaired, and the findings have what is
    /// left to do.
    pub async fn finish(mut self, started: OffsetDateTime, deadline: SystemTime) -> Result<Reply, Failure> {
        let mut run = self.begin().await?;
        if let Err(failure) = self.read_all(&mut run, deadline).await {
            self.settle_later(&mut run).await?;
            self.close(&mut run);
            let progress = json!({"repaired": run.reply.total.repaired, "remaining": run.reply.remaining});
            return Err(failure.with_findings(&progress));
        }
        self.settle_later(&mut run).await?;
        self.close(&mut run);
        self.record(started, &run.reply).await?;
        Ok(run.reply)
    }

    async fn read_all(&mut self, run: &mut Progress, deadline: SystemTime) -> Result<(), Failure> {
        let at_once = if self.stripe.is_live() { PAGES_AT_ONCE_LIVE } else { PAGES_AT_ONCE };
        let mut asked = JoinSet::new();
        let mut first_pages = HashSet::new();
        loop {
            let out_of_time = SystemTime::now() + RESERVE > deadline;
            while !out_of_time && asked.len() < at_once {
                let Some(number) = run.waiting.pop_front() else { break };
                let Some(slice) = run.left.get(&number) else { continue };
                first_pages.insert(number);
                asked.spawn(ask(self.stripe.clone(), number, slice.clone(), run.version.clone()));
            }
            let Some(answered) = asked.join_next().await else { break };
            let (number, page) = answered.map_err(|error| {
                Failure::new("ReconcileStopped", "list objects: a request was cut off; run it again")
                    .with_source(error)
            })?;
            let page = match page {
                Ok(page) => page,
                Err((slice, error)) => match self.refused(run, &slice, error)? {
                    Refused::Account => continue,
                    Refused::ForNow => break,
                },
            };
            run.reply.api_calls += page.calls;
            let next = page.next();
            if first_pages.remove(&number) {
                run.cut(number, &page);
            }
            // The network works on the next page while Postgres works on this one.
            if let (Some(next), false) = (&next, out_of_time) {
                let next = Slice { from: run.left.get(&number).and_then(|slice| slice.from), ..next.clone() };
                asked.spawn(ask(self.stripe.clone(), number, next, run.version.clone()));
            }
            self.settle(run, number, &page).await?;
            match next {
                Some(next) => {
                    let from = run.left.get(&number).and_then(|slice| slice.from);
                    run.left.insert(number, Slice { from, after: None, ..next });
                }
                None => {
                    if let Err(failure) = self.list_is_read(run, number, page.knows_until).await {
                        if !matches!(failure.error_type(), "StripeUnavailable" | "StripeRateLimited") {
                            return Err(failure);
                        }
                        run.reply.warnings.push(format!("{failure}; {KEPT}"));
                        break;
                    }
                }
            }
            tracing::info!(
                listed = run.reply.total.listed,
                unreadable = run.reply.total.unreadable,
                rows = run.told.len(),
                api_calls = run.reply.api_calls,
                "objects compared"
            );
        }
        asked.abort_all();
        Ok(())
    }

    /// What an error means for the run.
    fn refused(&self, run: &mut Progress, slice: &Slice, error: StripeError) -> Result<Refused, Failure> {
        match error {
            StripeError::AccountRefused { account } if self.request.account.is_none() => {
                if run.lost.insert(account.clone()) {
                    run.reply.warnings.push(accounts::left_words(&account));
                }
                run.left.retain(|_, slice| slice.account.as_deref() != Some(account.as_str()));
                Ok(Refused::Account)
            }
            error if error.may_pass() => {
                run.reply.warnings.push(format!("list {}s: {error}; {KEPT}", slice.family.object()));
                Ok(Refused::ForNow)
            }
            error => Err(error.into()),
        }
    }

    /// Compares a page, and repairs what differs.
    async fn settle(&mut self, run: &mut Progress, number: usize, page: &Page) -> Result<(), Failure> {
        let (family, object) = (page.slice.family, page.slice.family.object());
        if page.ahead_seconds.abs() > AHEAD_SECONDS_MAX
            && !run.reply.warnings.iter().any(|one| one.starts_with(CLOCK))
        {
            run.reply.warnings.push(format!(
                "{CLOCK} {} seconds from Stripe's: objects are dated by Stripe's, and the window's end by ours",
                page.ahead_seconds
            ));
        }
        let version = run.version.clone();
        let account = page.slice.account.as_deref();
        let mut readings: Vec<Reading<'_>> = Vec::with_capacity(PAGE_OBJECTS_MAX);
        for text in &page.objects {
            run.reply.count(object, |counts| counts.listed += 1);
            let head = match Head::read(text) {
                Ok(head) => head,
                Err(fault) => {
                    run.unreadable(object, "unreadable", account, &fault.to_string());
                    continue;
                }
            };
            if head.livemode.is_some_and(|livemode| livemode != self.rules.livemode) {
                run.unreadable(object, head.id.as_str(), account, "it is of the other mode");
                continue;
            }
            run.spans.entry(number).or_default().note_id(family, head.id.as_str());
            if family == Family::Account {
                let its = head.id.as_str();
                if !self.rules.accounts.include(Some(its)) {
                    continue;
                }
                // With all accounts, which there are only this list says.
                if self.rules.accounts == Accounts::All {
                    self.add_lists(run, Some(its));
                }
            }
            if !self.is_wanted(&head) {
                continue;
            }
            match Reading::of(family, &head, text, account, &version) {
                Ok(Some(reading)) => readings.push(reading),
                Ok(None) => {}
                Err(fault) => run.unreadable(object, head.id.as_str(), account, &fault.to_string()),
            }
        }
        let lacking = compare(&mut self.connection, family, &readings, page.knows_until)
            .await
            .map_err(WriteError::from)?;
        let made: Vec<(String, OffsetDateTime)> =
            readings.iter().filter_map(|reading| Some((reading.id.clone(), reading.created?))).collect();
        let mut mended = Vec::new();
        for mut reading in readings {
            let Some(lack) = lacking.get(&reading.id).copied() else { continue };
            if self.dry_run && lack >= Lack::Elsewhere {
                run.elsewhere.insert(reading.id.clone());
            }
            if self.dry_run || (lack == Lack::Consequence && run.later.len() < LATER_MAX) {
                self.put_off(run, Later::of(&reading, lack, page.knows_until)).await?;
            } else if self.mend(run, &mut reading, lack, page.knows_until).await? {
                mended.push(reading);
            }
        }
        self.note_lacking(run, family, &mended, page.knows_until).await?;
        if let Some(last) = page.last_created() {
            // Rows that stay missing, or with another time, are not where they will be counted.
            let elsewhere = std::mem::take(&mut run.elsewhere);
            let with_row = made.into_iter().filter(|(id, _)| !elsewhere.contains(id)).map(|(_, made)| made);
            run.spans.entry(number).or_default().note(with_row, last);
        }
        Ok(())
    }

    fn is_wanted(&self, head: &Head) -> bool {
        let Some(wanted) = &self.request.metadata else { return true };
        let has = |(key, value): (&String, &String)| {
            head.metadata.as_ref().and_then(|metadata| metadata.get(key)).map(Text::as_str)
                == Some(value.as_str())
        };
        wanted.iter().all(has)
    }

    /// A slice was read to its end: what do only we have of it?
    async fn list_is_read(
        &mut self,
        run: &mut Progress,
        number: usize,
        knows_until: OffsetDateTime,
    ) -> Result<(), Failure> {
        let spans = run.spans.remove(&number).unwrap_or_default();
        let Some(slice) = run.left.get(&number).cloned() else { return Ok(()) };
        if self.request.metadata.is_none() {
            let top = run.tops.get(&number).copied().unwrap_or(slice.to);
            let slice = Slice { to: top, ..slice.clone() };
            let found = here_only(&mut self.connection, self.stripe, &slice, &run.version, spans).await?;
            run.reply.api_calls += found.calls;
            if found.more {
                run.reply.warnings.push(format!(
                    "there are more {}s only here than were looked for: is the key of another Stripe account?",
                    slice.family.object()
                ));
            }
            for row in found.rows {
                self.settle_here_only(run, &slice, row, knows_until).await?;
            }
        }
        run.left.remove(&number);
        Ok(())
    }
}

const CLOCK: &str = "this machine's clock is";

const KEPT: &str = "what was done so far is kept, and remaining goes on from there";

/// One page of the slice of this number.
async fn ask(
    client: Client,
    number: usize,
    slice: Slice,
    version: String,
) -> (usize, Result<Page, (Slice, StripeError)>) {
    (number, next_page(client, slice, version).await)
}

/// What an error leaves to do.
enum Refused {
    /// All but this account.
    Account,
    /// Nothing, for now.
    ForNow,
}
