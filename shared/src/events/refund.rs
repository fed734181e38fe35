//! `refund.*`, and `charge.refund.updated` as it was before: one row of `refunds` a refund, what it takes back
//! from its buyer, and the ledger's entries.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::effect::Statement;
use super::field::{Fault, Id, Instant, Reference, Text, read};

/// A refund as an event shows it.
#[derive(Debug)]
pub struct Refund {
    object: Object,
}

#[derive(Debug, Deserialize)]
struct Object {
    id: Id,
    amount: i64,
    charge: Option<Reference>,
    created: Instant,
    currency: Text,
    failure_reason: Option<Text>,
    payment_intent: Option<Reference>,
    reason: Option<Text>,
    status: Text,
}

impl Refund {
    /// Records the event, writes the refund, takes back or gives back, and posts the money.
    pub const STATEMENT: &str = concat!(
        include_str!("sql/record_applied.sql"),
        include_str!("sql/refund.sql"),
        include_str!("sql/take_back.sql"),
        include_str!("sql/refund_posted.sql"),
        include_str!("sql/recorded.sql")
    );

    /// Reads `data.object`.
    ///
    /// # Errors
    /// The field that is missing or cannot be read.
    pub fn read(object: &RawValue) -> Result<Self, Fault> {
        Ok(Self { object: read("data.object", object)? })
    }

    /// How far the refund had come (Stripe documentation, "The Refund object": a refund that succeeded can
    /// still fail, when the bank sends it back).
    pub fn rank(&self) -> i64 {
        match self.object.status.as_str() {
            "pending" => 1,
            "requires_action" => 2,
            "succeeded" => 3,
            "failed" | "canceled" => 4,
            _ => 0,
        }
    }

    /// Binds $10 to $18.
    pub fn bind<'q>(&'q self, statement: Statement<'q>) -> Statement<'q> {
        let object = &self.object;
        statement
            .bind(object.id.as_str())
            .bind(object.charge.as_ref().map(Reference::as_str))
            .bind(object.payment_intent.as_ref().map(Reference::as_str))
            .bind(object.status.as_str())
            .bind(object.amount)
            .bind(object.currency.as_str())
            .bind(object.reason.as_ref().map(Text::as_str))
            .bind(object.failure_reason.as_ref().map(Text::as_str))
            .bind(object.created.0)
    }
}
