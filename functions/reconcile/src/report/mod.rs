//! The report of a run: one JSON document for scripts, and one page that a person reads in a minute.
//!
//! Both hold ids, amounts and states, and nothing of who bought what: findings are masked where they are made, and
//! whatever else looks like an address is masked here. What Stripe sent is text in the page and never markup.

mod chart;
mod mask;
mod page;
mod store;

use serde::Serialize;
use time::OffsetDateTime;

use crate::accounts::Account;
use crate::balance::{Money, PaidOut};
use crate::differences::{Differences, Tally};
use crate::finding::{Finding, Kind};
use mask::masked;
pub use store::{Location, Reports};

/// Raised where a script that reads reports has to change.
const REPORT_VERSION: u32 = 1;

/// A run, as it is told. Made by [`Report::of`], so that nothing in it is unmasked.
#[derive(Debug, Serialize)]
pub struct Report {
    report_version: u32,
    action: &'static str,
    status: &'static str,
    dry_run: bool,
    #[serde(with = "time::serde::rfc3339")]
    from: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    to: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    started_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    finished_at: OffsetDateTime,
    drift: bool,
    numbers: Vec<Number>,
    differences: Vec<Line>,
    findings: Vec<Finding>,
    money: Vec<InAccount<Money>>,
    payouts: Vec<InAccount<PaidOut>>,
    warnings: Vec<String>,
}

/// The run that a report is of.
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// The action.
    pub action: &'static str,
    /// `completed` or `partial`.
    pub status: &'static str,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// The window's first second.
    pub from: OffsetDateTime,
    /// The window's last second.
    pub to: OffsetDateTime,
    /// When the run began.
    pub started_at: OffsetDateTime,
    /// Whether something differs or is left.
    pub drift: bool,
}

/// A count with its name.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Number {
    /// Stable, as in the reply.
    pub name: &'static str,
    /// How many.
    pub value: u64,
}

/// How much there is of one kind of difference.
#[derive(Debug, Serialize)]
struct Line {
    kind: Kind,
    object: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(flatten)]
    tally: Tally,
}

/// A line and the account that it is about.
#[derive(Debug, Serialize)]
struct InAccount<T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Account,
    #[serde(flatten)]
    line: T,
}

impl Report {
    /// The report of a run and its counts.
    pub fn of(
        about: About,
        numbers: &[(&'static str, u64)],
        differences: &Differences,
        warnings: &[String],
    ) -> Self {
        let About { action, status, dry_run, from, to, started_at, drift } = about;
        let lines = differences.sorts().map(|(sort, tally)| Line {
            kind: sort.kind,
            object: sort.object,
            field: sort.field.as_deref().map(masked),
            tally,
        });
        Self {
            report_version: REPORT_VERSION,
            action,
            status,
            dry_run,
            from,
            to,
            started_at,
            finished_at: OffsetDateTime::now_utc(),
            drift,
            numbers: numbers.iter().map(|(name, value)| Number { name, value: *value }).collect(),
            differences: lines.collect(),
            findings: differences.kept().iter().map(mask::finding).collect(),
            money: Vec::new(),
            payouts: Vec::new(),
            warnings: warnings.iter().map(|warning| masked(warning)).collect(),
        }
    }

    /// The same with what moved.
    #[must_use]
    pub fn with_money(mut self, money: &[(Account, Money)], payouts: &[(Account, PaidOut)]) -> Self {
        let account = |account: &Account| account.as_deref().map(masked);
        self.money = money
            .iter()
            .map(|(of, line)| {
                let mut line = line.clone();
                line.reporting_category = masked(&line.reporting_category);
                InAccount { account: account(of), line }
            })
            .collect();
        self.payouts =
            payouts.iter().map(|(of, line)| InAccount { account: account(of), line: line.clone() }).collect();
        self
    }

    /// Of the findings, those that a person has to look at.
    fn unrepaired(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| !finding.repaired)
    }

    /// Of the findings, those that were repaired.
    fn repaired(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.repaired)
    }
}
