//! What our rows should hold of one of Stripe's objects, in their columns' names: for a comparison.

use serde_json::{Value, json};

use crate::money::Currency;

/// The row of an object, and what belongs to it.
#[derive(Debug)]
pub struct Row {
    /// The columns of its own row that the object says, as JSON.
    pub columns: Value,
    /// Its items or lines, or what else its family compares.
    pub parts: Vec<Value>,
    /// The ledger's entries that follow from it.
    pub entries: Vec<Value>,
}

impl Row {
    /// A row of these columns.
    pub fn new(columns: Value) -> Self {
        Self { columns, parts: Vec::new(), entries: Vec::new() }
    }

    /// The same with one part more.
    #[must_use]
    pub fn with_part(mut self, part: Value) -> Self {
        self.parts.push(part);
        self
    }

    /// The same with an entry more, where there is an amount to post.
    #[must_use]
    pub(super) fn posts(mut self, source_id: &str, kind: &str, amount: i64, currency: Currency) -> Self {
        if amount > 0 {
            let entry = json!({"source_id": source_id, "kind": kind, "amount": amount, "currency": currency});
            self.entries.push(entry);
        }
        self
    }
}
