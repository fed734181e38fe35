//! `charge.*`: one row of `charges` an attempt to take money, and the ledger's entry once it was taken.

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::field::{Fault, Id, Instant, NonNegative, Reference, Text, read};
use super::refund::{self, RELEASES_NO_REFUNDS, ShownBy};
use super::row::Row;
use super::statement::Statement;
use crate::money::Currency;

/// A charge as an event shows it.
#[derive(Debug)]
pub struct Charge {
    object: Object,
    amount_captured: i64,
    rank: i64,
}

#[derive(Debug, Deserialize)]
struct Object {
    id: Id,
    amount: NonNegative,
    /// Absent before 2020: then a captured charge was captured whole.
    amount_captured: Option<NonNegative>,
    #[serde(default)]
    amount_refunded: NonNegative,
    balance_transaction: Option<Reference>,
    captured: bool,
    created: Instant,
    currency: Currency,
    customer: Option<Reference>,
    failure_code: Option<Text>,
    payment_intent: Option<Reference>,
    /// Before 2022-11-15: the newest of its refunds.
    refunds: Option<Refunds>,
    status: Text,
}

#[derive(Debug, Deserialize)]
struct Refunds {
    #[serde(default)]
    data: Vec<refund::Object>,
}

impl Charge {
    /// Records the event, writes the charge, posts what it took, and settles what was given back of its payment.
    pub const STATEMENT: &str = concat!(
        include_str!("sql/ready.sql"),
        include_str!("sql/record_applied.sql"),
        include_str!("sql/charge.sql"),
        include_str!("sql/charge_refunds.sql"),
        include_str!("sql/given_back.sql"),
        include_str!("sql/meeting.sql"),
        include_str!("sql/take_back.sql"),
        include_str!("sql/audited.sql"),
        include_str!("sql/recorded_or_tied.sql")
    );

    /// The same for a charge that shows no refund: where none is known of its payment either, nothing is there to
    /// settle, and Postgres has a third of the work.
    pub const STATEMENT_UNREFUNDED: &str = concat!(
        include_str!("sql/ready_unrefunded.sql"),
        include_str!("sql/record_applied.sql"),
        include_str!("sql/charge.sql"),
        include_str!("sql/audited.sql"),
        include_str!("sql/recorded_if_ready.sql")
    );

    /// Reads `data.object`.
    ///
    /// # Errors
    /// The field that is missing or cannot be read.
    pub fn read(kind: &str, object: &RawValue) -> Result<Self, Fault> {
        let object: Object = read("data.object", object)?;
        // A charge goes from pending over its result to its capture, and never back. The event that is named
        // for a step is the first to show it. Others change what they like: see `tie`.
        let stage = match (object.status.as_str(), object.captured) {
            ("pending", _) => 0,
            (_, false) if kind != "charge.failed" && kind != "charge.expired" => 1,
            _ => 2,
        };
        let first = matches!(
            kind,
            "charge.pending" | "charge.succeeded" | "charge.failed" | "charge.captured" | "charge.expired"
        );
        let rank = 2 * stage + i64::from(!first);
        let amount_captured = object.amount_captured()?;
        Ok(Self { object, amount_captured, rank })
    }

    /// The id of the charge.
    pub fn id(&self) -> &str {
        self.object.id.as_str()
    }

    /// Whether anything of it was given back, as far as it says itself.
    pub fn shows_refunds(&self) -> bool {
        self.object.amount_refunded.get() > 0 || !self.object.refunds().is_empty()
    }

    /// How far the charge had come.
    pub fn rank(&self) -> i64 {
        self.rank
    }

    /// What its row holds of it, and what the ledger does: see [`super::reading`].
    pub fn row(&self, version: &str) -> Row {
        let object = &self.object;
        // As sql/charge.sql says it.
        let released =
            if version < RELEASES_NO_REFUNDS { object.amount.get() - self.amount_captured } else { 0 };
        let refunded = (object.amount_refunded.get() - released).clamp(0, self.amount_captured);
        let row = json!({
            "id": object.id,
            "payment_id": object.payment_intent,
            "customer_id": object.customer,
            "status": object.status,
            "amount": object.amount,
            "amount_captured": self.amount_captured,
            "amount_refunded": refunded,
            "currency": object.currency,
            "failure_code": object.failure_code,
            "balance_transaction": object.balance_transaction,
            "created_at": object.created,
        });
        let taken = object.status.as_str() == "succeeded";
        Row::new(row).posts(
            self.id(),
            "charge",
            if taken { self.amount_captured } else { 0 },
            object.currency,
        )
    }

    /// Binds $10 to $28.
    pub fn bind<'q>(&'q self, statement: Statement<'q>) -> Statement<'q> {
        let object = &self.object;
        let refunds = object.refunds();
        statement
            .bind(object.id.as_str())
            .bind(object.payment_intent.as_ref().map(Reference::as_str))
            .bind(object.customer.as_ref().map(Reference::as_str))
            .bind(object.status.as_str())
            .bind(object.amount)
            .bind(self.amount_captured)
            .bind(object.amount_refunded)
            .bind(object.currency.code())
            .bind(object.failure_code.as_ref().map(Text::as_str))
            .bind(object.balance_transaction.as_ref().map(Reference::as_str))
            .bind(object.created.0)
            .bind(column(refunds, |refund| refund.id.as_str()))
            .bind(column(refunds, refund::Object::status))
            .bind(column(refunds, |refund| refund.amount))
            .bind(column(refunds, |refund| refund.reason.as_ref().map(Text::as_str)))
            .bind(column(refunds, |refund| refund.failure_reason.as_ref().map(Text::as_str)))
            .bind(column(refunds, |refund| refund.created.0))
            .bind(column(refunds, moved))
            .bind(column(refunds, |refund| refund.rank(ShownBy::Charge)))
    }
}

impl Object {
    /// Where a charge of before 2020 does not say how much of it was captured, its refunds do: the part that
    /// was not is one of them, and never moved.
    fn amount_captured(&self) -> Result<i64, Fault> {
        if let Some(said) = self.amount_captured {
            return Ok(said.get());
        }
        if !self.captured {
            return Ok(0);
        }
        let released = self.refunds().iter().filter(|refund| !moved(refund));
        let captured =
            released.fold(self.amount.get(), |rest, refund| rest.saturating_sub(refund.amount.get()));
        if captured < 0 {
            return Err(Fault::new("data.object.refunds", "they release more than the charge's amount"));
        }
        Ok(captured)
    }

    fn refunds(&self) -> &[refund::Object] {
        self.refunds.as_ref().map_or(&[], |refunds| refunds.data.as_slice())
    }
}

/// Whether money went back: what was authorized and never captured has no balance transaction.
fn moved(refund: &refund::Object) -> bool {
    refund.balance_transaction.is_some() || refund.status() != "succeeded"
}

fn column<'r, T>(refunds: &'r [refund::Object], value: impl Fn(&'r refund::Object) -> T) -> Vec<T> {
    refunds.iter().map(value).collect()
}
