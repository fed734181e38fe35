//! A run under way: what is left of the lists, what was found, and what waits for their end.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use recoup::events::reading::{Family, Head, Reading};
use serde_json::value::RawValue;
use time::{Duration, OffsetDateTime};

use super::here_only::Spans;
use super::listing::{Page, Slice};
use super::repair::Sponsor;
use super::reply::Reply;
use super::told::Named;
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
    pub later: Vec<Later>,
    /// Objects that were repaired, or in a dry run would have been: what comes after is looked at as if they were.
    pub repaired: Vec<Later>,
    /// Objects of this page whose rows stay missing, or say that they were made at another time.
    pub elsewhere: HashSet<String>,
    /// Where each slice ended when it was begun.
    pub tops: BTreeMap<usize, OffsetDateTime>,
    /// Rows that were told of.
    pub named: Named,
    /// Accounts whose lists Stripe refuses.
    pub lost: BTreeSet<String>,
}

/// An object from which something does not follow that should.
pub struct Later {
    pub family: Family,
    pub account: Option<String>,
    pub id: String,
    pub object: Box<RawValue>,
    pub known_until: OffsetDateTime,
    /// Who bought, where it is a sale.
    pub customer: Option<String>,
    /// Whether its own row differed.
    pub own: bool,
}

impl Later {
    /// Keeps what was read.
    pub fn of(reading: &Reading<'_>, known_until: OffsetDateTime, own: bool) -> Self {
        let customer = match reading.family {
            Family::CheckoutSession => {
                reading.row(known_until).columns["customer_id"].as_str().map(str::to_owned)
            }
            _ => None,
        };
        Self {
            family: reading.family,
            account: reading.account.map(str::to_owned),
            id: reading.id.clone(),
            object: reading.object().to_owned(),
            known_until,
            customer,
            own,
        }
    }

    /// Reads it again.
    pub fn read<'r>(&'r self, version: &'r str) -> Option<Reading<'r>> {
        let head = Head::read(&self.object).ok()?;
        Reading::of(self.family, &head, &self.object, self.account.as_deref(), version).ok().flatten()
    }

    /// Whether it is one of these, or a sale to one of them.
    pub fn is_among(&self, ids: &[String]) -> bool {
        let among = |id: &String| ids.binary_search(id).is_ok();
        among(&self.id) || self.customer.as_ref().is_some_and(among)
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
