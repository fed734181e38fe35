//! `charge.*`: one row of `charges` an attempt to take money, and the ledger's entry once it was taken.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::effect::Statement;
use super::field::{Fault, Id, Instant, Reference, Text, read};

/// A charge as an event shows it.
#[derive(Debug)]
pub struct Charge {
    object: Object,
    rank: i64,
}

#[derive(Debug, Deserialize)]
struct Object {
    id: Id,
    amount: i64,
    /// Absent before 2020: then a captured charge was captured whole.
    amount_captured: Option<i64>,
    #[serde(default)]
    amount_refunded: i64,
    balance_transaction: Option<Reference>,
    captured: bool,
    created: Instant,
    currency: Text,
    customer: Option<Reference>,
    failure_code: Option<Text>,
    payment_intent: Option<Reference>,
    status: Text,
}

impl Charge {
    /// Records the event, writes the charge and posts what it took.
    pub const STATEMENT: &str = concat!(
        include_str!("sql/record_applied.sql"),
        include_str!("sql/charge.sql"),
        include_str!("sql/recorded.sql")
    );

    /// Reads `data.object`.
    ///
    /// # Errors
    /// The field that is missing or cannot be read.
    pub fn read(kind: &str, object: &RawValue) -> Result<Self, Fault> {
        let object: Object = read("data.object", object)?;
        // A charge goes from pending over its result and its capture to its refunds, each of which adds to
        // the amount: that amount itself settles two refunds of one second.
        let rank = match kind {
            _ if object.amount_refunded > 0 => object.amount_refunded.saturating_add(4),
            "charge.pending" => 0,
            "charge.succeeded" | "charge.failed" => 1,
            "charge.captured" | "charge.expired" => 2,
            _ => 3,
        };
        Ok(Self { object, rank })
    }

    /// How far the charge had come.
    pub fn rank(&self) -> i64 {
        self.rank
    }

    fn amount_captured(&self) -> i64 {
        let whole = if self.object.captured { self.object.amount } else { 0 };
        self.object.amount_captured.unwrap_or(whole)
    }

    /// Binds $10 to $20.
    pub fn bind<'q>(&'q self, statement: Statement<'q>) -> Statement<'q> {
        let object = &self.object;
        statement
            .bind(object.id.as_str())
            .bind(object.payment_intent.as_ref().map(Reference::as_str))
            .bind(object.customer.as_ref().map(Reference::as_str))
            .bind(object.status.as_str())
            .bind(object.amount)
            .bind(self.amount_captured())
            .bind(object.amount_refunded)
            .bind(object.currency.as_str())
            .bind(object.failure_code.as_ref().map(Text::as_str))
            .bind(object.balance_transaction.as_ref().map(Reference::as_str))
            .bind(object.created.0)
    }
}
