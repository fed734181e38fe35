//! `charge.*`: one row of `charges` an attempt to take money, and the ledger's entry once it was taken.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::effect::Statement;
use super::field::{Fault, Id, Instant, Reference, Text, read};
use super::refund::{self, ShownBy};

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
    /// Records the event, writes the charge and posts what it took.
    pub const STATEMENT: &str = concat!(
        include_str!("sql/record_applied.sql"),
        include_str!("sql/charge.sql"),
        include_str!("sql/given_back.sql"),
        include_str!("sql/take_back.sql"),
        include_str!("sql/recorded_or_tied.sql")
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
        Ok(Self { object, rank })
    }

    /// The id of the charge.
    pub fn id(&self) -> &str {
        self.object.id.as_str()
    }

    /// How far the charge had come.
    pub fn rank(&self) -> i64 {
        self.rank
    }

    /// Where a charge of before 2020 does not say how much of it was captured, its refunds do: the part that
    /// was not is one of them, and never moved.
    fn amount_captured(&self) -> i64 {
        let object = &self.object;
        if !object.captured {
            return object.amount_captured.unwrap_or(0);
        }
        let released: i64 = self
            .refunds()
            .iter()
            .filter(|refund| !moved(refund))
            .fold(0, |sum, refund| sum.saturating_add(refund.amount));
        object.amount_captured.unwrap_or(object.amount.saturating_sub(released))
    }

    fn refunds(&self) -> &[refund::Object] {
        self.object.refunds.as_ref().map_or(&[], |refunds| refunds.data.as_slice())
    }

    /// Binds $10 to $28.
    pub fn bind<'q>(&'q self, statement: Statement<'q>) -> Statement<'q> {
        let object = &self.object;
        let refunds = self.refunds();
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

/// Whether money went back: what was authorized and never captured has no balance transaction.
fn moved(refund: &refund::Object) -> bool {
    refund.balance_transaction.is_some() || refund.status() != "succeeded"
}

fn column<'r, T>(refunds: &'r [refund::Object], value: impl Fn(&'r refund::Object) -> T) -> Vec<T> {
    refunds.iter().map(value).collect()
}
