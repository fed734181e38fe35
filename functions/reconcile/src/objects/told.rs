//! What a run tells of: each row that it changes, as it was at first and as it is at last. So it does not matter which of
//! the objects that it follows from was written first.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use recoup::events::reading::Family;
use serde_json::Value;

use super::rows::{Change, Columns, Place};
use crate::finding::{Finding, Kind};

/// Rows that are kept with what they held, at most.
const ROWS_MAX: usize = 5_000;

/// Objects that are counted beyond those, at most; each takes a few bytes.
const OBJECTS_MAX: usize = 1_000_000;

/// The rows that a run changed.
#[derive(Debug, Default)]
pub struct Told {
    rows: BTreeMap<Place, Touched>,
    /// Objects whose rows came when there was no room: by the hash of their names.
    more: HashMap<u64, (Family, Kind)>,
}

#[derive(Debug)]
struct Touched {
    object: Family,
    owner: String,
    account: Option<String>,
    /// As it was before the run; `None` where there was none.
    before: Option<Columns>,
    /// As it is now.
    after: Option<Columns>,
}

impl Touched {
    /// Takes what changed after.
    fn go_on(&mut self, change: Change) {
        // What it held at first stays; a column that had not changed until now held this.
        if let (Some(before), Some(columns)) = (&mut self.before, change.before) {
            for (column, value) in columns {
                before.entry(column).or_insert(value);
            }
        }
        match (&mut self.after, change.after) {
            (Some(after), Some(columns)) => after.extend(columns),
            (after, columns) => *after = columns,
        }
        (self.object, self.owner) = (change.object, change.owner);
    }

    /// The columns that are not as they were, with both values; `None` where the row is new or gone.
    fn columns(&self) -> Option<Vec<(&String, &Value, &Value)>> {
        let (before, after) = (self.before.as_ref()?, self.after.as_ref()?);
        let both = |(column, now)| {
            let was = before.get(column).unwrap_or(&Value::Null);
            (was != now).then_some((column, now, was))
        };
        Some(after.iter().filter_map(both).collect())
    }

    fn is_as_it_was(&self) -> bool {
        match self.columns() {
            Some(columns) => columns.is_empty(),
            None => self.before.is_none() && self.after.is_none(),
        }
    }
}

impl Told {
    /// Notes what writing an object changed.
    pub fn note(&mut self, changes: Vec<Change>, account: Option<&str>) {
        for change in changes {
            if is_our_own(&change.place) {
                continue;
            }
            let room = self.rows.len() < ROWS_MAX;
            match self.rows.entry(change.place.clone()) {
                Entry::Occupied(mut known) => known.get_mut().go_on(change),
                Entry::Vacant(free) if room => {
                    let Change { object, owner, before, after, .. } = change;
                    let account = account.map(str::to_owned);
                    free.insert(Touched { object, owner, account, before, after });
                }
                Entry::Vacant(_) => self.count_only(&change),
            }
        }
    }

    fn count_only(&mut self, change: &Change) {
        let mut hasher = DefaultHasher::new();
        (change.object, &change.owner).hash(&mut hasher);
        let room = self.more.len() < OBJECTS_MAX;
        let kind = if is_missing(change.object, &change.owner, &change.place, change.before.as_ref()) {
            Kind::MissingHere
        } else {
            Kind::Different
        };
        match self.more.entry(hasher.finish()) {
            std::collections::hash_map::Entry::Occupied(mut known) if kind == Kind::MissingHere => {
                known.get_mut().1 = kind;
            }
            std::collections::hash_map::Entry::Vacant(free) if room => {
                free.insert((change.object, kind));
            }
            _ => {}
        }
    }

    /// How many rows and objects it has.
    pub fn len(&self) -> usize {
        self.rows.len() + self.more.len()
    }

    /// Each object with its findings. One whose own row is missing has one finding: what it brings goes without saying.
    pub fn objects(&self, repaired: bool) -> Vec<Object> {
        let mut by_object: BTreeMap<(Family, &str), Vec<(&Place, &Touched)>> = BTreeMap::new();
        for (place, row) in self.rows.iter().filter(|(_, row)| !row.is_as_it_was()) {
            by_object.entry((row.object, &row.owner)).or_default().push((place, row));
        }
        let mut objects = Vec::new();
        for ((family, id), rows) in by_object {
            let (object, account) = (family.object(), rows[0].1.account.as_deref());
            let finding = |kind| Finding { repaired, ..Finding::of(kind, object, id, account) };
            let missing = rows.iter().any(|(place, row)| is_missing(family, id, place, row.before.as_ref()));
            let (kind, findings) = if missing {
                (Kind::MissingHere, vec![finding(Kind::MissingHere)])
            } else {
                let different = || finding(Kind::Different);
                let told = rows.iter().flat_map(|(place, row)| fields(family, place, row, &different));
                (Kind::Different, told.collect())
            };
            objects.push(Object { family, id: id.to_owned(), kind, findings });
        }
        objects
    }

    /// Of the objects without findings: how many of each family and kind.
    pub fn more(&self) -> impl Iterator<Item = (Family, Kind)> {
        self.more.values().copied()
    }
}

/// An object whose rows change.
#[derive(Debug)]
pub struct Object {
    pub family: Family,
    pub id: String,
    pub kind: Kind,
    pub findings: Vec<Finding>,
}

/// Whether it is the row of a buyer without a customer of Stripe's: the session that names them makes it.
fn is_our_own(place: &Place) -> bool {
    place.table == "customers" && place.key.starts_with("guest_")
}

fn is_missing(family: Family, owner: &str, place: &Place, before: Option<&Columns>) -> bool {
    place.table == family.table() && place.key == owner && before.is_none()
}

/// A finding for each column that differs; for a row that is new or goes one.
fn fields(family: Family, place: &Place, row: &Touched, different: &impl Fn() -> Finding) -> Vec<Finding> {
    let Some(columns) = row.columns() else {
        let there = |side: &Option<Columns>| Some(Value::from(side.is_some()));
        return vec![different().field(place.name(), there(&row.after), there(&row.before))];
    };
    let own = place.table == family.table();
    let name = |column: &str| if own { column.to_owned() } else { format!("{}.{column}", place.name()) };
    let field = |(column, stripe, ours): (&String, &Value, &Value)| {
        different().field(name(column), Some(stripe.clone()), Some(ours.clone()))
    };
    columns.into_iter().map(field).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn change(table: &str, key: &str, before: Value, after: Value) -> Change {
        let columns = |side: Value| side.as_object().cloned();
        Change {
            place: Place { table: table.to_owned(), key: key.to_owned() },
            object: Family::PaymentIntent,
            owner: "pi_1".to_owned(),
            before: columns(before),
            after: columns(after),
        }
    }

    fn told(changes: Vec<Change>) -> Value {
        let mut told = Told::default();
        for change in changes {
            told.note(vec![change], None);
        }
        let findings: Vec<Finding> =
            told.objects(false).into_iter().flat_map(|object| object.findings).collect();
        let short = |finding: &Finding| json!([finding.field, finding.stripe, finding.ours]);
        findings.iter().map(short).collect()
    }

    #[test]
    fn a_row_is_told_as_it_was_at_first_and_is_at_last() {
        let first = || change("payments", "pi_1", json!({"amount": 1}), json!({"amount": 2}));
        let second = change(
            "payments",
            "pi_1",
            json!({"amount": 2, "status": "a"}),
            json!({"amount": 3, "status": "b"}),
        );
        assert_eq!(told(vec![first(), second]), json!([["amount", 3, 1], ["status", "b", "a"]]));
        let back = change("payments", "pi_1", json!({"amount": 2}), json!({"amount": 1}));
        assert_eq!(told(vec![first(), back]), json!([]), "nothing differs in the end");
        let row = change("payment_orders", "pi_1", Value::Null, json!({"id": "pi_1"}));
        assert_eq!(told(vec![row]), json!([["payment_orders[pi_1]", true, false]]));
        let new = change("payments", "pi_1", Value::Null, json!({"amount": 1}));
        assert_eq!(told(vec![new, first()]), json!([[null, null, null]]), "missing, and that is all");
        let gone = change("payments", "pi_1", json!({"amount": 1}), Value::Null);
        let new = change("payments", "pi_1", Value::Null, json!({"amount": 1}));
        assert_eq!(told(vec![new, gone]), json!([]));
    }
}
