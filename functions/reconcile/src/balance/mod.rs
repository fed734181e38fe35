//! The scope `balance`: what moved at Stripe against the ledger, to the cent.
//!
//! **How.** Stripe's balance transactions of a span are listed, newest first, and kept a page at a time
//! (`recoup.balance_transactions`), so that memory does not grow with them; what no event tells of is posted with its
//! page: fees, transfers, conversions. Then the automatic payouts of the span are asked for what they are made of, which
//! Stripe tells in no other way. What remains to be proven is asked for one by one, and the rest is one view:
//! `recoup.balance_comparison`.
//!
//! **Dry run.** The same work in a transaction that is rolled back: what it says is what a real run does.
//!
//! **Once.** Every posting is known by its balance transaction, and every page is a commit: whatever is repeated changes
//! nothing.

mod books;
mod payouts;
mod proofs;
mod reply;
mod transaction;
mod window;

use std::time::{Duration, SystemTime};

use recoup::events::receive::Rules;
use recoup::failure::Failure;
use recoup::stripe::Client;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sqlx::{Connection, PgConnection};
use time::OffsetDateTime;

use self::books::{Difference, Part};
pub use self::books::{Money, PaidOut};
use self::payouts::Payout;
pub use self::reply::{Reply, Totals};
use self::transaction::Transaction;
pub use self::window::Span;
use crate::accounts::{self, Account};
use crate::differences::{Differences, Tally};
use crate::finding::{Finding, Kind};
use crate::list::List;

/// No new page is begun when less than this is left of the invocation.
const RESERVE: Duration = Duration::from_secs(60);

/// An automatic payout tells what it is made of some days after it was made.
const PAYOUTS_BEFORE: time::Duration = time::Duration::days(7);

/// Lines of money in a report: days by currency, category and account.
const MONEY_LINES_MAX: usize = 20_000;

/// Payouts in a report.
const PAYOUT_LINES_MAX: usize = 2_000;

/// Where an invocation stopped: the accounts before this one are done, and this one down to `to`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// The account; `None` is the platform's own.
    pub account: Option<String>,
    /// The last second of it that is not compared yet.
    #[serde(with = "time::serde::rfc3339")]
    pub to: OffsetDateTime,
}

/// One run.
pub struct Run<'r> {
    /// Where transactions and payouts are listed.
    pub stripe: &'r Client,
    /// Which accounts are ours.
    pub rules: &'r Rules,
    /// The one account that was asked for.
    pub account: Option<String>,
    /// The span.
    pub span: Span,
    /// Where the invocation before stopped.
    pub cursor: Option<Cursor>,
    /// Whether to change nothing.
    pub dry_run: bool,
}

/// What was compared.
#[derive(Debug, Default)]
pub struct Compared {
    /// Accounts that were compared whole.
    pub accounts: u64,
    /// Balance transactions that Stripe listed.
    pub listed: u64,
    /// Payouts that Stripe listed.
    pub payouts_listed: u64,
    /// Entries that were posted, or would be.
    pub posted: u64,
    /// What differs.
    pub differences: Differences,
    /// Movements of money that nothing explains, the first hundred, in words.
    pub unexplained: Vec<String>,
    /// How many there are of them.
    pub unexplained_in_all: u64,
    /// What moved.
    pub money: Vec<(Account, Money)>,
    /// The same by currency.
    pub totals: Vec<Totals>,
    /// Payouts and what they are made of.
    pub paid_out: Vec<(Account, PaidOut)>,
    /// What the operator should know besides.
    pub warnings: Vec<String>,
    /// Where to go on.
    pub stopped: Option<Cursor>,
}

impl Run<'_> {
    /// Compares until the span is done or the invocation nears its deadline, and posts what no event tells of.
    ///
    /// # Errors
    /// Why Stripe or Postgres could not be used; what was posted by then stays posted.
    pub async fn finish(
        &self,
        connection: &mut PgConnection,
        started: OffsetDateTime,
        deadline: SystemTime,
    ) -> Result<Compared, Failure> {
        let compared = if self.dry_run {
            let mut everything = connection.begin().await.map_err(database)?;
            let compared = self.compare(&mut everything, deadline).await;
            everything.rollback().await.map_err(database)?;
            compared?
        } else {
            self.compare(connection, deadline).await?
        };
        self.record(connection, started, &compared).await?;
        Ok(compared)
    }

    async fn compare(&self, connection: &mut PgConnection, deadline: SystemTime) -> Result<Compared, Failure> {
        let mut compared = Compared::default();
        let accounts = accounts::compared(self.stripe, self.rules, self.account.as_deref()).await?;
        for account in accounts {
            let mut span = self.span;
            if let Some(cursor) = &self.cursor {
                // `None`, the platform's own account, comes first in this order as well.
                if account < cursor.account {
                    continue;
                }
                if account == cursor.account {
                    span.to = cursor.to.min(span.to);
                }
            }
            let mut run = OfAccount {
                stripe: self.stripe,
                connection: &mut *connection,
                account: account.as_deref(),
                compared: &mut compared,
                deadline,
            };
            let stopped = match run.finish(span).await {
                Err(failure) if account.is_some() && failure.error_type() == "StripeAccountRefused" => {
                    compared.differences.add(accounts::left(account.as_deref().unwrap_or_default()));
                    None
                }
                ended => ended?,
            };
            if let Some(to) = stopped {
                compared.stopped = Some(Cursor { account, to });
                break;
            }
            compared.accounts += 1;
        }
        Ok(compared)
    }

    async fn record(
        &self,
        connection: &mut PgConnection,
        started: OffsetDateTime,
        compared: &Compared,
    ) -> Result<(), Failure> {
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let status = if compared.stopped.is_some() { "partial" } else { "completed" };
        sqlx::query(
            "insert into recoup.reconciliations
                (scope, narrowed, window_from, window_to, dry_run, started_at, status, listed, missing, repaired, failed)
             values ('balance', $1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(self.account.is_some())
        .bind(self.span.from)
        .bind(self.span.to)
        .bind(self.dry_run)
        .bind(started)
        .bind(status)
        .bind(count(compared.listed))
        .bind(count(compared.differences.found()))
        .bind(count(if self.dry_run { 0 } else { compared.posted }))
        .bind(count(compared.unexplained_in_all))
        .execute(connection)
        .await
        .map_err(database)?;
        Ok(())
    }
}

/// Where the last run ended that compared all accounts and left nothing unexplained.
///
/// # Errors
/// Why Postgres could not be asked.
pub async fn last_good_run(connection: &mut PgConnection) -> Result<Option<OffsetDateTime>, Failure> {
    sqlx::query_scalar(
        "select max(window_to) from recoup.reconciliations
         where scope = 'balance' and status = 'completed' and not dry_run and not narrowed and failed = 0",
    )
    .fetch_one(connection)
    .await
    .map_err(database)
}

/// One account's part of a run.
struct OfAccount<'r> {
    stripe: &'r Client,
    connection: &'r mut PgConnection,
    account: Option<&'r str>,
    compared: &'r mut Compared,
    deadline: SystemTime,
}

impl OfAccount<'_> {
    /// Compares the account. Gives the last second that is left, where the time was up.
    async fn finish(&mut self, span: Span) -> Result<Option<OffsetDateTime>, Failure> {
        let reached = self.list(span).await?;
        let part = match reached {
            None => Some(span),
            Some(reached) => span.whole_down_to(reached),
        };
        let Some(part) = part else { return Ok(reached) };
        let asked_payouts = match reached {
            None => self.payouts(span).await?,
            Some(_) => Vec::new(),
        };
        let part_of_account = Part { account: self.account, from: part.from, to: part.to };
        self.prove(part_of_account).await?;
        self.judge(part_of_account).await?;
        self.add_money(part_of_account, &asked_payouts).await?;
        Ok(reached.map(|_| part.from - time::Duration::SECOND))
    }

    /// Lists and keeps the span's transactions. Gives the oldest second that was reached, where the time was up.
    async fn list(&mut self, span: Span) -> Result<Option<OffsetDateTime>, Failure> {
        let (from, to) = (span.from.unix_timestamp().to_string(), span.to.unix_timestamp().to_string());
        let filters = [("created[gte]", from.as_str()), ("created[lte]", to.as_str())];
        let mut pages = List::of(self.stripe, self.account, "/v1/balance_transactions", &filters);
        let mut page = pages.next().await?;
        while let Some(listed) = page {
            let transactions = self.read(&listed);
            self.compared.listed += listed.len() as u64;
            if !self.has_time() {
                let posted = keep(self.connection, self.account, None, &transactions).await?;
                self.compared.posted += posted;
                return Ok(transactions.last().map(|last| last.created.0));
            }
            // Stripe makes the next page while Postgres keeps this one.
            let (posted, next) =
                tokio::join!(keep(self.connection, self.account, None, &transactions), pages.next());
            self.compared.posted += posted?;
            page = next?;
            tracing::info!(listed = self.compared.listed, posted = self.compared.posted, "balance listed");
        }
        Ok(None)
    }

    /// Lists the span's payouts, compares them with our rows, and has each automatic one tell what it is made of.
    /// Gives those that did.
    async fn payouts(&mut self, span: Span) -> Result<Vec<String>, Failure> {
        let from = (span.from - PAYOUTS_BEFORE).unix_timestamp().to_string();
        let to = span.to.unix_timestamp().to_string();
        let filters = [("created[gte]", from.as_str()), ("created[lte]", to.as_str())];
        let mut pages = List::of(self.stripe, self.account, "/v1/payouts", &filters);
        let mut telling = Vec::new();
        while let Some(listed) = pages.next().await? {
            self.compared.payouts_listed += listed.len() as u64;
            let mut page = Vec::new();
            for json in &listed {
                match Payout::read(json) {
                    Ok(payout) => page.push(payout),
                    Err(fault) => self.odd("payout", json, &fault.to_string()),
                }
            }
            let differences = &mut self.compared.differences;
            let (tell, unasked) =
                payouts::settle(self.connection, self.account, &page, differences).await?;
            telling.extend(tell);
            for payout in unasked {
                if !self.has_time() {
                    let warning = "the time was up before every payout had told what it is made of; the next run asks";
                    self.compared.warnings.push(warning.to_owned());
                    return Ok(telling);
                }
                self.list_payout(&payout).await?;
            }
        }
        Ok(telling)
    }

    async fn list_payout(&mut self, payout: &str) -> Result<(), Failure> {
        let filters = [("payout", payout)];
        let mut pages = List::of(self.stripe, self.account, "/v1/balance_transactions", &filters);
        while let Some(listed) = pages.next().await? {
            let transactions = self.read(&listed);
            self.compared.posted += keep(self.connection, self.account, Some(payout), &transactions).await?;
        }
        Ok(())
    }

    fn read(&mut self, listed: &[Box<RawValue>]) -> Vec<Transaction> {
        let mut transactions = Vec::with_capacity(listed.len());
        for json in listed {
            match Transaction::read(json) {
                Ok(transaction) => transactions.push(transaction),
                Err(fault) => self.odd("balance_transaction", json, &fault.to_string()),
            }
        }
        transactions
    }

    /// An object that cannot be read is reported, and the run goes on.
    fn odd(&mut self, object: &'static str, json: &RawValue, fault: &str) {
        #[derive(Deserialize)]
        struct Head {
            id: String,
        }
        let id = serde_json::from_str::<Head>(json.get()).map_or_else(|_| "(none)".to_owned(), |head| head.id);
        self.unexplained(format!("{object} {id} cannot be read ({fault})"));
        let reason = format!("Stripe's object cannot be read: {fault}; report it to us");
        self.compared
            .differences
            .add(Finding::of(Kind::Different, object, id, self.account).because(reason));
    }

    fn unexplained(&mut self, what: String) {
        self.compared.unexplained_in_all += 1;
        if self.compared.unexplained.len() < crate::differences::IN_REPLY_MAX {
            self.compared.unexplained.push(what);
        }
    }

    /// What Stripe and the ledger say differently, in words.
    async fn judge(&mut self, part: Part<'_>) -> Result<(), Failure> {
        let mut seen: Option<(String, Finding, i64)> = None;
        for difference in books::differences(self.connection, part).await.map_err(database)? {
            let finding = proofs::finding(&difference, self.account);
            self.unexplained(proofs::in_words(&difference));
            self.compared.differences.add(finding.clone());
            // The last one of a kind stands for those that were not listed.
            let kind = format!("{} {}", difference.field, difference.how);
            let Difference { of_its_kind, .. } = difference;
            match &mut seen {
                Some((last_kind, last, left)) if *last_kind == kind => {
                    *left -= 1;
                    *last = finding;
                }
                _ => {
                    self.add_unseen(seen.take());
                    seen = Some((kind, finding, of_its_kind - 1));
                }
            }
        }
        self.add_unseen(seen);
        let unmatched = books::unmatched(self.connection, part, proofs::UNMATCHED_MAX).await.map_err(database)?;
        let mut last = None;
        for entry in &unmatched {
            let finding = proofs::unmatched_finding(entry, self.account);
            self.unexplained(proofs::unmatched_in_words(entry));
            self.compared.differences.add(finding.clone());
            last = Some((String::new(), finding, entry.in_all - unmatched.len() as i64));
        }
        self.add_unseen(last);
        Ok(())
    }

    fn add_unseen(&mut self, seen: Option<(String, Finding, i64)>) {
        let Some((_, like, left)) = seen else { return };
        let left = u64::try_from(left).unwrap_or_default();
        self.compared.differences.add_unseen(&like, Tally { found: left, repaired: 0 });
        self.compared.unexplained_in_all += left;
    }

    async fn add_money(&mut self, part: Part<'_>, asked_payouts: &[String]) -> Result<(), Failure> {
        for line in books::money(self.connection, part).await.map_err(database)? {
            Totals::add(&mut self.compared.totals, &line);
            if self.compared.money.len() < MONEY_LINES_MAX {
                self.compared.money.push((self.account.map(str::to_owned), line));
            }
        }
        for paid in books::paid_out(self.connection, asked_payouts).await.map_err(database)? {
            if paid.paid_out != paid.net {
                self.unexplained(proofs::payout_in_words(&paid));
                self.compared.differences.add(proofs::payout_finding(&paid, self.account));
            }
            if self.compared.paid_out.len() < PAYOUT_LINES_MAX {
                self.compared.paid_out.push((self.account.map(str::to_owned), paid));
            }
        }
        Ok(())
    }

    fn has_time(&self) -> bool {
        SystemTime::now() + RESERVE < self.deadline
    }
}

async fn keep(
    connection: &mut PgConnection,
    account: Option<&str>,
    payout: Option<&str>,
    page: &[Transaction],
) -> Result<u64, Failure> {
    let posted = books::keep(connection, account, payout, page).await.map_err(database)?;
    Ok(u64::try_from(posted).unwrap_or_default())
}

fn database(error: sqlx::Error) -> Failure {
    let missing = error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "42P01");
    if missing {
        return Failure::new("SchemaMissing", "compare the balance: the tables are of an older version; apply the migrations");
    }
    Failure::new("DatabaseUnavailable", "compare the balance: Postgres cannot be used now; run it again")
        .with_source(error)
}
