//! `payout.*`: one row of `payouts` a payout, and the ledger's movement from Stripe's balance to the bank.

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::field::{Fault, Id, Instant, Reference, Text, read};
use super::row::Row;
use super::statement::Statement;
use crate::money::Currency;

/// A payout as an event shows it.
#[derive(Debug)]
pub struct Payout {
    object: Object,
    rank: i64,
}

#[derive(Debug, Deserialize)]
struct Object {
    id: Id,
    /// Below zero where Stripe takes from the bank what the balance lacks.
    amount: i64,
    arrival_date: Instant,
    automatic: bool,
    balance_transaction: Option<Reference>,
    created: Instant,
    currency: Currency,
    failure_balance_transaction: Option<Reference>,
    failure_code: Option<Text>,
    method: Option<Text>,
    /// Since 2023.
    reconciliation_status: Option<Text>,
    status: Text,
}

impl Payout {
    /// Records the event, writes the payout and posts the money.
    pub const STATEMENT: &str = concat!(
        include_str!("sql/ready.sql"),
        include_str!("sql/record_applied.sql"),
        include_str!("sql/payout.sql"),
        include_str!("sql/audited.sql"),
        include_str!("sql/recorded_or_tied.sql")
    );

    /// Reads `data.object`.
    ///
    /// # Errors
    /// The field that is missing or cannot be read.
    pub fn read(kind: &str, object: &RawValue) -> Result<Self, Fault> {
        let object: Object = read("data.object", object)?;
        // Stripe documentation, "The Payout object": what was paid can still fail, for some days.
        let state = match object.status.as_str() {
            "pending" => 0,
            "paid" => 2,
            "failed" | "canceled" => 3,
            _ => 1,
        };
        let step = match kind {
            "payout.created" => 0,
            "payout.reconciliation_completed" => 2,
            _ => 1,
        };
        Ok(Self { object, rank: state * 10 + step })
    }

    /// The id of the payout.
    pub fn id(&self) -> &str {
        self.object.id.as_str()
    }

    /// How far the payout had come.
    pub fn rank(&self) -> i64 {
        self.rank
    }

    /// What its row holds of it, and what the ledger does: see [`super::reading`].
    pub fn row(&self) -> Row {
        let object = &self.object;
        let row = json!({
            "id": object.id,
            "status": object.status,
            "amount": object.amount,
            "currency": object.currency,
            "automatic": object.automatic,
            "method": object.method,
            "arrival_date": object.arrival_date,
            "balance_transaction": object.balance_transaction,
            "failure_balance_transaction": object.failure_balance_transaction,
            "failure_code": object.failure_code,
            "reconciliation_status": object.reconciliation_status,
            "created_at": object.created,
        });
        let amount = object.amount.saturating_abs();
        let (left, came_back) = match object.status.as_str() {
            "paid" => (amount, 0),
            "failed" => (amount, amount),
            _ => (0, 0),
        };
        Row::new(row).posts(self.id(), "payout", left, object.currency).posts(
            self.id(),
            "payout_failure",
            came_back,
            object.currency,
        )
    }

    /// Binds $10 to $21.
    pub fn bind<'q>(&'q self, statement: Statement<'q>) -> Statement<'q> {
        let object = &self.object;
        statement
            .bind(object.id.as_str())
            .bind(object.status.as_str())
            .bind(object.amount)
            .bind(object.currency.code())
            .bind(object.automatic)
            .bind(object.method.as_ref().map(Text::as_str))
            .bind(object.arrival_date.0)
            .bind(object.balance_transaction.as_ref().map(Reference::as_str))
            .bind(object.failure_balance_transaction.as_ref().map(Reference::as_str))
            .bind(object.failure_code.as_ref().map(Text::as_str))
            .bind(object.reconciliation_status.as_ref().map(Text::as_str))
            .bind(object.created.0)
    }
}
