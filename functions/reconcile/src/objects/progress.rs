//! A run under way: what is left of the lists, what was found, and what waits for their end.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use recoup::events::reading::{Family, Head, Reading};
use serde_json::value::RawValue;
use time::{Duration, OffsetDateTime};

use super::compare::Lack;
use super::here_only::Spans;
use super::listing::{Page, Slice};
use super::repair::Sponsor;
use super::reply::Reply;
use super::told::Told;
use crate::finding::{Finding, Kind};

/// A slice is cut into parts of so many pages, so that what a part's last page lacks to be full is little.
const PART_PAGES: i32 = 50;

/// A run under way.
pub struct Progress {
    pub reply: Reply,
    pub sponsor: Sponsor,
    pub version: String,
    /// What is still to be read of slices that were begun or wait: by their number.
    pub left: BTreeMap<usize, Slice>,
    pub waiting: VecDeque<usize>,
    pub spans: BTreeMap<usize, Spans>,
    pub numbers: usize,
    /// What is settled when all lists were read; in a dry run all that differs.
    pub later: Vec<Later>,
    /// What was written, and lacked something all the same.
    pub lacking: Vec<Later>,
    /// What a person has to look at.
    pub unrepaired: BTreeSet<(Family, String)>,
    /// Objects of this page whose rows stay missing, or say that they were made at another time.
    pub elsewhere: HashSet<String>,
    /// Where each slice ended when it was begun.
    pub tops: BTreeMap<usize, OffsetDateTime>,
    /// The rows that changed.
    pub told: Told,
    /// Accounts whose lists Stripe refuses.
    pub lost: BTreeSet<String>,
}

/// An object that waits.
pub struct Later {
    pub family: Family,
    pub account: Option<String>,
    pub id: String,
    pub object: Box<RawValue>,
    pub known_until: OffsetDateTime,
    pub lack: Lack,
}

impl Later {
    /// Keeps what was read.
    pub fn of(reading: &Reading<'_>, lack: Lack, known_until: OffsetDateTime) -> Self {
        Self {
            family: reading.family,
            account: reading.account.map(str::to_owned),
            id: reading.id.clone(),
            object: reading.object().to_owned(),
            known_until,
            lack,
        }
    }

    /// Reads it again.
    pub fn read<'r>(&'r self, version: &'r str) -> Option<Reading<'r>> {
        let head = Head::read(&self.object).ok()?;
        Reading::of(self.family, &head, &self.object, self.account.as_deref(), version).ok().flatten()
    }
}

impl Progress {
    pub fn add(&mut self, slice: Slice) {
        self.tops.insert(self.numbers, slice.to);
        self.left.insert(self.numbers, slice);
        self.waiting.push_back(self.numbers);
        self.numbers += 1;
    }

    /// Cuts a slice behind its first page, where that says that it is long: the slice keeps what fills so many pages, and
    /// the rest is one of its own, which is read at the same time and cut in turn.
    pub fn cut(&mut self, number: usize, page: &Page) {
        let (Some(from), Some(last)) = (page.slice.from, page.last_created()) else { return };
        let span = (page.slice.to - last).max(Duration::SECOND);
        let begin = last - span * PART_PAGES;
        if !page.has_more || begin <= from {
            return;
        }
        if let Some(slice) = self.left.get_mut(&number) {
            slice.from = Some(begin);
            let rest = Slice { from: Some(from), to: begin - Duration::SECOND, after: None, ..slice.clone() };
            self.add(rest);
        }
    }

    pub fn count(&mut self, object: &'static str, kind: Kind) {
        self.reply.count(object, |counts| match kind {
            Kind::MissingHere => counts.missing_here += 1,
            Kind::MissingThere => counts.missing_there += 1,
            Kind::Different => counts.different += 1,
        });
    }

    pub fn unreadable(&mut self, object: &'static str, id: &str, account: Option<&str>, why: &str) {
        self.reply.count(object, |counts| counts.unreadable += 1);
        let why = format!("it cannot be read, and was left as it is: {why}");
        self.reply.find(Finding::of(Kind::Different, object, id, account).because(why));
    }
}
