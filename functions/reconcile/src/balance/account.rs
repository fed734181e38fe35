//! One account's part of a run: list, keep, prove, judge.

use std::time::{Duration, SystemTime};

use recoup::failure::Failure;
use recoup::stripe::Client;
use recoup::telemetry::identifier;
use serde::Deserialize;
use serde_json::value::RawValue;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::books::{self, Difference, Part};
use super::payouts::{self, Payout};
use super::transaction::Transaction;
use super::{Compared, Span, Totals, database, proofs};
use crate::differences::{IN_REPLY_MAX, Tally};
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

/// One account's part of a run.
pub struct OfAccount<'r> {
    /// Where transactions and payouts are listed.
    pub stripe: &'r Client,
    /// Where they are kept.
    pub connection: &'r mut PgConnection,
    /// The account; `None` is the platform's own.
    pub account: Option<&'r str>,
    /// What the whole run found.
    pub compared: &'r mut Compared,
    /// When the invocation ends.
    pub deadline: SystemTime,
}

impl OfAccount<'_> {
    /// Compares the account. Gives the last second that is left, where the time was up.
    ///
    /// # Errors
    /// Why Stripe or Postgres could not be used.
    pub async fn finish(&mut self, span: Span) -> Result<Option<OffsetDateTime>, Failure> {
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
            let reached = transactions.last().map(|last| last.created.0);
            // Not within the first second: the next invocation would begin where this one did.
            let gets_on = reached.is_some_and(|reached| reached < span.to);
            if gets_on && !pages.has_ended() && !self.has_time() {
                self.compared.posted += keep(self.connection, self.account, None, &transactions).await?;
                return Ok(reached);
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
            let (tell, unasked) = payouts::settle(self.connection, self.account, &page, differences).await?;
            telling.extend(tell);
            for payout in unasked {
                if !self.has_time() {
                    let warning =
                        "the time was up before every payout had told what it is made of; the next run asks";
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

    pub(super) fn read(&mut self, listed: &[Box<RawValue>]) -> Vec<Transaction> {
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
        let id = serde_json::from_str::<Head>(json.get())
            .map_or_else(|_| "(none)".to_owned(), |head| identifier(&head.id).to_owned());
        self.unexplained(format!("{object} {id} cannot be read ({fault})"));
        let reason = format!("Stripe's object cannot be read: {fault}; report it to us");
        self.compared.differences.add(Finding::of(Kind::Different, object, id, self.account).because(reason));
    }

    fn unexplained(&mut self, what: String) {
        self.compared.unexplained_in_all += 1;
        if self.compared.unexplained.len() < IN_REPLY_MAX {
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
        let unmatched =
            books::unmatched(self.connection, part, proofs::UNMATCHED_MAX).await.map_err(database)?;
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

/// Keeps a page; gives the number of entries that were posted.
///
/// # Errors
/// Why Postgres could not be used.
pub async fn keep(
    connection: &mut PgConnection,
    account: Option<&str>,
    payout: Option<&str>,
    page: &[Transaction],
) -> Result<u64, Failure> {
    let posted = books::keep(connection, account, payout, page).await.map_err(database)?;
    Ok(u64::try_from(posted).unwrap_or_default())
}
