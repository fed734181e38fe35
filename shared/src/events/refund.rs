//! `refund.*`, and `charge.refund.updated` as it was before: one row of `refunds` a refund, what it takes back
//! from its buyer, and the ledger's entries.

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::field::{Fault, Id, Instant, NonNegative, Reference, Text, read};
use super::row::Row;
use super::statement::Statement;
use crate::money::Currency;

/// A refund as an event shows it.
#[derive(Debug)]
pub struct Refund {
    object: Object,
    rank: i64,
}

/// A refund's own fields, which a charge of an old API version shows in its list.
#[derive(Debug, Deserialize)]
pub(super) struct Object {
    pub id: Id,
    pub amount: NonNegative,
    pub balance_transaction: Option<Reference>,
    charge: Option<Reference>,
    pub created: Instant,
    currency: Currency,
    pub failure_reason: Option<Text>,
    payment_intent: Option<Reference>,
    pub reason: Option<Text>,
    status: Option<Text>,
}

/// Since this API version what was never captured is no refund.
pub(super) const RELEASES_NO_REFUNDS: &str = "2025-03-31";

/// By which event a refund is shown, the least telling first: events of one change, in one second, show the
/// same refund, and differ in nothing but their names.
#[derive(Debug, Clone, Copy)]
pub(super) enum ShownBy {
    Charge,
    Created,
    ChargeRefundUpdated,
    Updated,
    Failed,
}

impl Object {
    /// Stripe's status. Before it had one for every refund, a refund without one had come about, unless it says
    /// why it failed.
    pub(super) fn status(&self) -> &str {
        match (&self.status, &self.failure_reason) {
            (Some(status), _) => status.as_str(),
            (None, Some(_)) => "failed",
            (None, None) => "succeeded",
        }
    }

    /// How far the refund had come (Stripe documentation, "The Refund object": a refund that succeeded can still
    /// fail, when the bank sends it back).
    pub(super) fn rank(&self, shown_by: ShownBy) -> i64 {
        let stage = match self.status() {
            "succeeded" => 2,
            "failed" | "canceled" => 3,
            _ => 1,
        };
        5 * stage + shown_by as i64
    }
}

impl Refund {
    /// Records the event, writes the refund, takes back or gives back, and posts the money.
    pub const STATEMENT: &str = concat!(
        include_str!("sql/ready.sql"),
        include_str!("sql/record_applied.sql"),
        include_str!("sql/refund.sql"),
        include_str!("sql/given_back.sql"),
        include_str!("sql/meeting.sql"),
        include_str!("sql/take_back.sql"),
        include_str!("sql/audited.sql"),
        include_str!("sql/recorded_or_tied.sql")
    );

    /// Reads `data.object`.
    ///
    /// # Errors
    /// The field that is missing or cannot be read.
    pub fn read(kind: &str, object: &RawValue) -> Result<Self, Fault> {
        let object: Object = read("data.object", object)?;
        let shown_by = match kind {
            "refund.created" => ShownBy::Created,
            "refund.failed" => ShownBy::Failed,
            "charge.refund.updated" => ShownBy::ChargeRefundUpdated,
            _ => ShownBy::Updated,
        };
        Ok(Self { rank: object.rank(shown_by), object })
    }

    /// The id of the refund.
    pub fn id(&self) -> &str {
        self.object.id.as_str()
    }

    /// How far the refund had come.
    pub fn rank(&self) -> i64 {
        self.rank
    }

    /// What its row holds of it, and what the ledger does: see [`super::reading`].
    pub fn row(&self, version: &str) -> Row {
        let object = &self.object;
        let status = object.status();
        // As sql/refund.sql says it.
        let moves_money =
            object.balance_transaction.is_some() || status != "succeeded" || version >= RELEASES_NO_REFUNDS;
        let row = json!({
            "id": object.id,
            "charge_id": object.charge,
            "payment_id": object.payment_intent,
            "status": status,
            "amount": object.amount,
            "currency": object.currency,
            "reason": object.reason,
            "failure_reason": object.failure_reason,
            "created_at": object.created,
            "moves_money": moves_money,
        });
        let amount = if moves_money { object.amount.get() } else { 0 };
        let failed = matches!(status, "failed" | "canceled");
        Row::new(row).posts(self.id(), "refund", amount, object.currency).posts(
            self.id(),
            "refund_failure",
            if failed { amount } else { 0 },
            object.currency,
        )
    }

    /// Binds $10 to $19.
    pub fn bind<'q>(&'q self, statement: Statement<'q>) -> Statement<'q> {
        let object = &self.object;
        statement
            .bind(object.id.as_str())
            .bind(object.charge.as_ref().map(Reference::as_str))
            .bind(object.payment_intent.as_ref().map(Reference::as_str))
            .bind(object.status())
            .bind(object.amount)
            .bind(object.currency.code())
            .bind(object.reason.as_ref().map(Text::as_str))
            .bind(object.failure_reason.as_ref().map(Text::as_str))
            .bind(object.created.0)
            .bind(object.balance_transaction.as_ref().map(Reference::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refund(status: &str) -> Object {
        let json = format!(r#"{{"id":"re_1","amount":1,"created":1,"currency":"eur",{status}}}"#);
        serde_json::from_str(&json).expect("a refund")
    }

    #[test]
    fn a_refund_without_a_status_came_about_or_says_why_not() {
        assert_eq!(refund(r#""status":null"#).status(), "succeeded");
        assert_eq!(refund(r#""status":null,"failure_reason":"expired_or_canceled_card""#).status(), "failed");
        assert_eq!(refund(r#""status":"pending""#).status(), "pending");
    }

    #[test]
    fn a_failure_comes_after_a_success() {
        let rank = |status: &str, shown_by| refund(&format!(r#""status":"{status}""#)).rank(shown_by);
        assert!(rank("succeeded", ShownBy::Failed) < rank("failed", ShownBy::Charge));
        assert!(rank("pending", ShownBy::Updated) < rank("succeeded", ShownBy::Created));
    }
}
