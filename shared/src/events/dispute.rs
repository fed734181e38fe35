//! `charge.dispute.*`: one row of `disputes` a dispute, the money that the bank takes and perhaps gives back, and
//! what a lost dispute takes back from its buyer.

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::field::{Fault, Id, Instant, NonNegative, Reference, Text, read};
use super::row::Row;
use super::statement::Statement;
use crate::money::Currency;

/// A dispute as an event shows it.
#[derive(Debug)]
pub struct Dispute {
    object: Object,
    rank: i64,
}

#[derive(Debug, Deserialize)]
struct Object {
    id: Id,
    amount: NonNegative,
    /// What the dispute did to Stripe's balance so far: at most a withdrawal and a reinstatement.
    #[serde(default)]
    balance_transactions: Vec<BalanceTransaction>,
    charge: Reference,
    created: Instant,
    currency: Currency,
    evidence_details: Option<EvidenceDetails>,
    /// Absent before 2020.
    payment_intent: Option<Reference>,
    reason: Option<Text>,
    status: Text,
}

/// Amounts are of the balance's currency, which need not be the charge's. A withdrawal is below zero, and so is a
/// fee that comes back.
#[derive(Debug, Deserialize)]
struct BalanceTransaction {
    id: Id,
    amount: i64,
    created: Instant,
    currency: Currency,
    fee: i64,
}

#[derive(Debug, Deserialize)]
struct EvidenceDetails {
    due_by: Option<Instant>,
}

impl Dispute {
    /// Records the event, writes the dispute, takes back or gives back, and posts the money with its fee.
    pub const STATEMENT: &str = concat!(
        include_str!("sql/ready.sql"),
        include_str!("sql/record_applied.sql"),
        include_str!("sql/dispute.sql"),
        include_str!("sql/meeting.sql"),
        include_str!("sql/take_back.sql"),
        include_str!("sql/dispute_posted.sql"),
        include_str!("sql/audited.sql"),
        include_str!("sql/recorded_or_tied.sql")
    );

    /// Reads `data.object`.
    ///
    /// # Errors
    /// The field that is missing or cannot be read; `balance_transactions` where the event says that money moved
    /// and they do not show it.
    pub fn read(kind: &str, object: &RawValue) -> Result<Self, Fault> {
        let object: Object = read("data.object", object)?;
        let moved = match kind {
            "charge.dispute.funds_withdrawn" => object.balance_transactions.iter().any(|one| one.amount < 0),
            "charge.dispute.funds_reinstated" => object.balance_transactions.iter().any(|one| one.amount > 0),
            _ => true,
        };
        if !moved {
            let reason = "the movement that the event is about is not among them";
            return Err(Fault::new("data.object.balance_transactions", reason));
        }
        // Stripe documentation, "Dispute lifecycle": an inquiry (warning_…) may become a dispute; it needs a
        // response, is reviewed, and is won or lost. Within one state, created comes first and money last.
        let state = match object.status.as_str() {
            "warning_needs_response" => 0,
            "warning_under_review" => 1,
            "needs_response" => 3,
            "under_review" => 4,
            "warning_closed" | "won" | "lost" | "charge_refunded" | "prevented" => 5,
            _ => 2,
        };
        let step = match kind {
            "charge.dispute.created" => 0,
            "charge.dispute.closed" => 2,
            "charge.dispute.funds_withdrawn" | "charge.dispute.funds_reinstated" => 3,
            _ => 1,
        };
        Ok(Self { object, rank: state * 10 + step })
    }

    /// The id of the dispute.
    pub fn id(&self) -> &str {
        self.object.id.as_str()
    }

    /// How far the dispute had come.
    pub fn rank(&self) -> i64 {
        self.rank
    }

    /// What its row holds of it, and what the ledger does: see [`super::reading`]. `now` is what the row is given where it
    /// does not know yet that the dispute was lost.
    pub fn row(&self, now: Instant) -> Row {
        let object = &self.object;
        let row = json!({
            "id": object.id,
            "charge_id": object.charge,
            "payment_id": object.payment_intent,
            "status": object.status,
            "amount": object.amount,
            "currency": object.currency,
            "reason": object.reason,
            "evidence_due_by": object.evidence_details.as_ref().and_then(|details| details.due_by),
            "created_at": object.created,
            "lost_at": (object.status.as_str() == "lost").then_some(now),
        });
        object.balance_transactions.iter().fold(Row::new(row), |row, moved| {
            let id = moved.id.as_str();
            row.posts(id, "dispute", moved.amount.saturating_neg(), moved.currency)
                .posts(id, "dispute_reversal", moved.amount, moved.currency)
                .posts(id, "dispute_fee", moved.fee, moved.currency)
                .posts(id, "dispute_fee_reversal", moved.fee.saturating_neg(), moved.currency)
        })
    }

    /// Binds $10 to $23.
    pub fn bind<'q>(&'q self, statement: Statement<'q>) -> Statement<'q> {
        let object = &self.object;
        let due_by = object.evidence_details.as_ref().and_then(|details| details.due_by);
        let moved = object.balance_transactions.as_slice();
        statement
            .bind(object.id.as_str())
            .bind(object.charge.as_str())
            .bind(object.payment_intent.as_ref().map(Reference::as_str))
            .bind(object.status.as_str())
            .bind(object.amount)
            .bind(object.currency.code())
            .bind(object.reason.as_ref().map(Text::as_str))
            .bind(due_by.map(|due_by| due_by.0))
            .bind(object.created.0)
            .bind(moved.iter().map(|one| one.id.as_str()).collect::<Vec<_>>())
            .bind(moved.iter().map(|one| one.amount).collect::<Vec<_>>())
            .bind(moved.iter().map(|one| one.fee).collect::<Vec<_>>())
            .bind(moved.iter().map(|one| one.currency.code()).collect::<Vec<_>>())
            .bind(moved.iter().map(|one| one.created.0).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_that_moved_must_be_shown() {
        let json = |transactions: &str| {
            format!(
                r#"{{"id":"dp_1","amount":900,"charge":"ch_1","created":1,"currency":"eur","status":"lost",
                    "balance_transactions":[{transactions}]}}"#
            )
        };
        let read = |kind: &str, json: &str| Dispute::read(kind, serde_json::from_str(json).expect("json"));
        let withdrawal = r#"{"id":"txn_1","amount":-900,"fee":1500,"created":1,"currency":"eur"}"#;
        assert!(read("charge.dispute.funds_withdrawn", &json(withdrawal)).is_ok());
        assert!(read("charge.dispute.closed", &json("")).is_ok());
        for (kind, transactions) in
            [("charge.dispute.funds_withdrawn", ""), ("charge.dispute.funds_reinstated", withdrawal)]
        {
            let fault = read(kind, &json(transactions)).expect_err("a fault").to_string();
            assert!(fault.starts_with("data.object.balance_transactions: "), "{fault}");
        }
        let fault = read("charge.dispute.created", &json("\"txn_1\"")).expect_err("a fault").to_string();
        assert!(fault.starts_with("data.object.balance_transactions[0]"), "{fault}");
    }
}
