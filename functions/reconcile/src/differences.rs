//! All that a run found: how much of each kind, and the first of each.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::finding::{Finding, Kind};

/// A reply names this many; the report more.
pub const IN_REPLY_MAX: usize = 100;

/// So many are kept of one kind, so that memory does not grow with what is found.
const OF_ONE_KIND_MAX: u64 = 200;

/// So many are kept in all.
const KEPT_MAX: usize = 5_000;

/// How much there is of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// All of them.
    pub found: u64,
    /// Of these, how many were repaired.
    pub repaired: u64,
}

/// What tells kinds apart: `different balance_transaction amount`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sort {
    /// How the two differ.
    pub kind: Kind,
    /// The type of the object.
    pub object: &'static str,
    /// The column, without its row.
    pub field: Option<String>,
}

impl Sort {
    /// Of a finding.
    pub fn of(finding: &Finding) -> Self {
        let field =
            finding.field.as_deref().map(|field| match (field.split_once('['), field.rsplit_once(']')) {
                (Some((table, _)), Some((_, column))) => format!("{table}{column}"),
                _ => field.to_owned(),
            });
        Self { kind: finding.kind, object: finding.object, field }
    }
}

/// What was found.
#[derive(Debug, Default)]
pub struct Differences {
    kept: Vec<Finding>,
    sorts: BTreeMap<Sort, Tally>,
}

impl Differences {
    /// Adds one.
    pub fn add(&mut self, finding: Finding) {
        let tally = self.sorts.entry(Sort::of(&finding)).or_default();
        tally.found += 1;
        tally.repaired += u64::from(finding.repaired);
        if tally.found <= OF_ONE_KIND_MAX && self.kept.len() < KEPT_MAX {
            self.kept.push(finding);
        }
    }

    /// Notes that there are more like this one, which nobody has in hand.
    pub fn add_unseen(&mut self, like: &Finding, more: Tally) {
        if more.found > 0 {
            let tally = self.sorts.entry(Sort::of(like)).or_default();
            tally.found += more.found;
            tally.repaired += more.repaired;
        }
    }

    /// Those that are kept.
    pub fn kept(&self) -> &[Finding] {
        &self.kept
    }

    /// How much of each kind.
    pub fn sorts(&self) -> impl Iterator<Item = (&Sort, Tally)> {
        self.sorts.iter().map(|(sort, tally)| (sort, *tally))
    }

    /// All of them.
    pub fn found(&self) -> u64 {
        self.sorts.values().map(|tally| tally.found).sum()
    }

    /// Those that were repaired.
    pub fn repaired(&self) -> u64 {
        self.sorts.values().map(|tally| tally.repaired).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_are_counted_and_the_first_are_kept() {
        let mut differences = Differences::default();
        for number in 0..300 {
            let mut finding = Finding::of(Kind::Different, "charge", format!("ch_{number}"), None).field(
                format!("tickets[cs_1,{number}].seat"),
                Some(json!(1)),
                None,
            );
            finding.repaired = number < 10;
            differences.add(finding);
        }
        let like = differences.kept()[0].clone();
        differences.add_unseen(&like, Tally { found: 5, repaired: 2 });
        assert_eq!((differences.found(), differences.repaired(), differences.kept().len()), (305, 12, 200));
        let sorts: Vec<_> = differences.sorts().collect();
        assert_eq!(sorts.len(), 1);
        assert_eq!(sorts[0].0.field.as_deref(), Some("tickets.seat"));
    }
}
