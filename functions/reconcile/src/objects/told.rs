//! What is told of an object's changes.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use recoup::events::reading::{Family, Reading};
use serde_json::Value;

use super::compare::Lack;
use super::repair::Change;
use crate::finding::{Finding, Kind};

/// Rows that are noted as named, at most.
const NAMED_MAX: usize = 1_000_000;

/// Rows that were named already: one follows from several objects. By the hash of their name; where there are too many the
/// rest is not noted, and a row may be named twice.
#[derive(Debug, Default)]
pub struct Named(HashSet<u64>);

impl Named {
    /// Whether it is new.
    fn add(&mut self, change: &Change) -> bool {
        let mut hasher = DefaultHasher::new();
        (&change.table, &change.key).hash(&mut hasher);
        let name = hasher.finish();
        if self.0.len() < NAMED_MAX { self.0.insert(name) } else { !self.0.contains(&name) }
    }
}

/// The findings of what writing an object changes. Of its own row, its items and lines they have each column. What follows
/// from it is named by its row, where nothing of its own differs: else it goes without saying.
pub fn findings(
    named: &mut Named,
    reading: &Reading<'_>,
    lack: Lack,
    changes: Vec<Change>,
    repaired: bool,
) -> Vec<Finding> {
    let (object, id) = (reading.family.object(), reading.id.as_str());
    let finding = |kind| Finding { repaired, ..Finding::of(kind, object, id, reading.account) };
    let (own, consequences): (Vec<Change>, Vec<Change>) =
        changes.into_iter().partition(|change| is_own(reading, change));
    if own.is_empty() || lack == Lack::Consequence {
        let rows = own.iter().chain(&consequences).filter(|change| named.add(change));
        return rows.map(|change| finding(Kind::Different).field(place(change), None, None)).collect();
    }
    if lack == Lack::Missing {
        return vec![finding(Kind::MissingHere)];
    }
    own.iter().flat_map(|change| columns(reading, change, &finding)).collect()
}

/// Whether it is the object's own row, or one of its items or lines.
fn is_own(reading: &Reading<'_>, change: &Change) -> bool {
    let children = match reading.family {
        Family::Subscription => "subscription_items",
        Family::Invoice => "invoice_lines",
        Family::CheckoutSession => "order_items",
        _ => "",
    };
    let of_it = || change.key.strip_prefix(&reading.id).is_some_and(|rest| rest.starts_with(','));
    (change.table == reading.family.table() && change.key == reading.id)
        || (change.table == children && of_it())
}

fn place(change: &Change) -> String {
    format!("{}[{}]", change.table, change.key)
}

fn columns(reading: &Reading<'_>, change: &Change, finding: &impl Fn(Kind) -> Finding) -> Vec<Finding> {
    let (Some(before), Some(after)) = (&change.before, &change.after) else {
        let there = |row: bool| Some(Value::from(row));
        let (stripe, ours) = (there(change.after.is_some()), there(change.before.is_some()));
        return vec![finding(Kind::Different).field(place(change), stripe, ours)];
    };
    let name = |column: &str| {
        let own_row = change.table == reading.family.table();
        if own_row { column.to_owned() } else { format!("{}.{column}", place(change)) }
    };
    let column = |(column, stripe): (&String, &Value)| {
        finding(Kind::Different).field(name(column), Some(stripe.clone()), before.get(column).cloned())
    };
    after.iter().map(column).collect()
}
