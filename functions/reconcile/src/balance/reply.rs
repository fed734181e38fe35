//! What a run of the balance answers.

use recoup::failure::Failure;
use serde::Serialize;
use time::OffsetDateTime;

use super::{Compared, Money, Run, Span};
use crate::accounts::Cursor;
use crate::differences::IN_REPLY_MAX;
use crate::finding::Finding;
use crate::report::{About, Location, Report};

/// Transactions that the error names.
const NAMED_MAX: usize = 10;

/// What was found, and done about it.
#[derive(Debug, Serialize)]
pub struct Reply {
    /// `balance`.
    pub action: &'static str,
    /// `completed`, or `partial` where the time was up: `remaining` says what is left.
    pub status: &'static str,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// The span's first second.
    #[serde(with = "time::serde::rfc3339")]
    pub from: OffsetDateTime,
    /// The span's last second.
    #[serde(with = "time::serde::rfc3339")]
    pub to: OffsetDateTime,
    /// Accounts that were compared whole.
    pub accounts: u64,
    /// Balance transactions that Stripe listed.
    pub listed: u64,
    /// Payouts that Stripe listed.
    pub payouts: u64,
    /// Entries of the ledger that were posted; in a dry run, that would be.
    pub posted: u64,
    /// Differences.
    pub differences: u64,
    /// Of these, movements of money that nothing explains.
    pub unexplained: u64,
    /// Whether something differs or is left.
    pub drift: bool,
    /// What moved, by currency.
    pub money: Vec<Totals>,
    /// The first hundred differences.
    pub findings: Vec<Finding>,
    /// What is left to do, as a payload for the next invocation.
    pub remaining: Option<Remaining>,
    /// What the operator should know besides.
    pub warnings: Vec<String>,
    /// Where the report is.
    pub report: Option<Location>,
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

/// What moved in one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// The currency; all amounts are its minor units.
    pub currency: String,
    /// How many transactions.
    pub transactions: i64,
    /// Their amounts.
    pub gross: i64,
    /// What Stripe kept.
    pub fee: i64,
    /// What the balance changed by.
    pub net: i64,
    /// The ledger's amounts less its fees.
    pub ledger_net: i64,
    /// Of `gross`, payouts that the ledger gets once they are paid.
    pub awaited: i64,
}

impl Totals {
    /// Adds a line to its currency's.
    pub fn add(totals: &mut Vec<Self>, line: &Money) {
        let at = match totals.binary_search_by(|one| one.currency.as_str().cmp(&line.currency)) {
            Ok(at) => at,
            Err(at) => {
                let (currency, none) = (line.currency.clone(), 0);
                let empty = Self {
                    currency,
                    transactions: none,
                    gross: none,
                    fee: none,
                    net: none,
                    ledger_net: none,
                    awaited: none,
                };
                totals.insert(at, empty);
                at
            }
        };
        let total = &mut totals[at];
        total.transactions += line.transactions;
        total.gross += line.gross;
        total.fee += line.fee;
        total.net += line.net;
        total.ledger_net += line.ledger_gross - line.ledger_fee;
        total.awaited += line.awaited;
    }
}

impl Reply {
    /// Of what was compared.
    pub fn of(run: &Run<'_>, compared: &Compared) -> Self {
        let Span { from, to } = run.span;
        let remaining = compared.stopped.clone().map(|cursor| Remaining {
            action: "balance",
            from,
            to,
            dry_run: run.dry_run,
            account: run.account.clone(),
            cursor,
        });
        let differences = compared.differences.found();
        Self {
            action: "balance",
            status: if remaining.is_some() { "partial" } else { "completed" },
            dry_run: run.dry_run,
            from,
            to,
            accounts: compared.accounts,
            listed: compared.listed,
            payouts: compared.payouts_listed,
            posted: compared.posted,
            differences,
            unexplained: compared.unexplained_in_all,
            drift: differences > 0 || remaining.is_some(),
            money: compared.totals.clone(),
            findings: compared.differences.kept().iter().take(IN_REPLY_MAX).cloned().collect(),
            remaining,
            warnings: compared.warnings.clone(),
            report: None,
        }
    }

    /// As the report tells it.
    pub fn report(&self, compared: &Compared, started_at: OffsetDateTime) -> Report {
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
            ("accounts", self.accounts),
            ("listed", self.listed),
            ("payouts", self.payouts),
            ("posted", self.posted),
            ("differences", self.differences),
            ("unexplained", self.unexplained),
        ];
        Report::of(about, &numbers, &compared.differences, &self.warnings)
            .with_money(&compared.money, &compared.paid_out)
    }

    /// The reply, or where money is not explained the failure that names it.
    ///
    /// # Errors
    /// `UnexplainedMoney`, with the reply as its findings.
    pub fn answered(mut self, unexplained: &[String]) -> Result<Self, Failure> {
        if self.unexplained == 0 {
            return Ok(self);
        }
        let named: Vec<&str> = unexplained.iter().take(NAMED_MAX).map(String::as_str).collect();
        let more = self.unexplained - named.len() as u64;
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        let report = match &self.report {
            Some(report) => format!("the report is {}", report.page),
            None => "no report could be stored".to_owned(),
        };
        let message = format!(
            "compare the balance: {} movements of money are not explained: {}{more}; {report}; RUNBOOK, \"The balance \
             does not add up\", says what to do.",
            self.unexplained,
            named.join("; "),
        );
        self.findings.truncate(NAMED_MAX);
        Err(Failure::new("UnexplainedMoney", message).with_findings(&self))
    }
}
