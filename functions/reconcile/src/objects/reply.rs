//! What `objects` answers.

use std::collections::BTreeMap;

use serde::Serialize;
use time::OffsetDateTime;

use super::listing::Slice;
use crate::differences::{Differences, IN_REPLY_MAX};
use crate::finding::{Finding, Kind};
use crate::report::{About, Location, Report};

/// What was found, and done about it.
#[derive(Debug, Serialize)]
pub struct Reply {
    /// `objects`.
    pub action: &'static str,
    /// `completed`, or `partial` where it had to stop: `remaining` says what is left.
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
    /// Only objects with this metadata, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
    /// Of all families together.
    #[serde(flatten)]
    pub total: Counts,
    /// By Stripe's name of the family.
    pub objects: BTreeMap<&'static str, Counts>,
    /// How many requests Stripe was sent.
    pub api_calls: u64,
    /// Whether Stripe and the rows still differ, or something is left to compare.
    pub drift: bool,
    /// The first hundred, masked; the report has more.
    pub findings: Vec<Finding>,
    /// All of them.
    #[serde(skip)]
    pub differences: Differences,
    /// What is left to do, as a payload for the next invocation.
    pub remaining: Option<Remaining>,
    /// What the operator should know besides.
    pub warnings: Vec<String>,
    /// Where the report is.
    pub report: Option<Location>,
}

/// Objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// That Stripe listed.
    pub listed: u64,
    /// That had no row here.
    pub missing_here: u64,
    /// Whose rows differed, or lacked something that follows from them.
    pub different: u64,
    /// That are only here.
    pub missing_there: u64,
    /// That could not be read.
    pub unreadable: u64,
    /// That were recreated or repaired, and committed; what follows from others' repairs among them.
    pub repaired: u64,
    /// That the rows refused, or that no statement repairs: a person has to look.
    pub unrepaired: u64,
}

/// The payload that goes on where this invocation had to stop.
#[derive(Debug, Serialize)]
pub struct Remaining {
    pub(super) action: &'static str,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) from: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) to: OffsetDateTime,
    pub(super) dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) metadata: Option<BTreeMap<String, String>>,
    pub(super) actor: String,
    pub(super) reason: String,
    /// The parts of the lists that were not compared.
    pub(super) left: Vec<Slice>,
}

impl Reply {
    /// As the report tells it.
    pub fn report(&self, started_at: OffsetDateTime) -> Report {
        let about = About {
            action: self.action,
            status: self.status,
            dry_run: self.dry_run,
            from: self.from,
            to: self.to,
            started_at,
            drift: self.drift,
        };
        let total = &self.total;
        let numbers = [
            ("listed", total.listed),
            ("missing_here", total.missing_here),
            ("different", total.different),
            ("missing_there", total.missing_there),
            ("unreadable", total.unreadable),
            ("repaired", total.repaired),
            ("unrepaired", total.unrepaired),
            ("api_calls", self.api_calls),
        ];
        Report::of(about, &numbers, &self.differences, &self.warnings)
    }

    /// The counts of a family and those of all.
    pub(super) fn count(&mut self, object: &'static str, count: impl Fn(&mut Counts)) {
        count(&mut self.total);
        count(self.objects.entry(object).or_default());
    }

    /// Names a finding: in the reply while there is room.
    pub(super) fn find(&mut self, finding: Finding) {
        if self.findings.len() < IN_REPLY_MAX {
            self.findings.push(finding.clone());
        }
        self.differences.add(finding);
    }

    /// Notes something that no statement repairs.
    pub(super) fn unrepaired(
        &mut self,
        kind: Kind,
        object: &'static str,
        id: &str,
        account: Option<&str>,
        why: String,
    ) {
        self.count(object, |counts| counts.unrepaired += 1);
        self.find(Finding::of(kind, object, id, account).because(why));
    }
}
