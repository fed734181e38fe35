//! `payment_intent.*`: one row of `payments` a payment intent.

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::field::{Fault, Id, Instant, NonNegative, Reference, Text, read};
use super::row::Row;
use super::statement::Statement;
use crate::money::Currency;

/// A payment intent as an event shows it.
#[derive(Debug)]
pub struct PaymentIntent {
    object: Object,
    rank: i64,
}

#[derive(Debug, Deserialize)]
struct Object {
    id: Id,
    amount: NonNegative,
    #[serde(default)]
    amount_received: NonNegative,
    created: Instant,
    currency: Currency,
    customer: Option<Reference>,
    last_payment_error: Option<PaymentError>,
    status: Text,
}

#[derive(Debug, Deserialize)]
struct PaymentError {
    code: Option<Text>,
}

impl PaymentIntent {
    /// Records the event and writes the payment.
    pub const STATEMENT: &str = concat!(
        include_str!("sql/ready.sql"),
        include_str!("sql/record_applied.sql"),
        include_str!("sql/payment_intent.sql"),
        include_str!("sql/audited.sql"),
        include_str!("sql/recorded_or_tied.sql")
    );

    /// Reads `data.object`.
    ///
    /// # Errors
    /// The field that is missing or cannot be read.
    pub fn read(kind: &str, object: &RawValue) -> Result<Self, Fault> {
        let object: Object = read("data.object", object)?;
        // Stripe documentation, "How PaymentIntents and SetupIntents work": succeeded and canceled are final.
        let rank = match (kind, object.status.as_str()) {
            // In between it may go back and forth, as attempts fail.
            (_, "succeeded" | "canceled") => 3,
            ("payment_intent.created", _) => 1,
            _ => 2,
        };
        Ok(Self { object, rank })
    }

    /// The id of the payment intent.
    pub fn id(&self) -> &str {
        self.object.id.as_str()
    }

    /// How far the payment had come.
    pub fn rank(&self) -> i64 {
        self.rank
    }

    /// What its row holds of it: see [`super::reading`].
    pub fn row(&self) -> Row {
        let object = &self.object;
        Row::new(json!({
            "id": object.id,
            "customer_id": object.customer,
            "status": object.status,
            "amount": object.amount,
            "amount_received": object.amount_received,
            "currency": object.currency,
            "failure_code": object.last_payment_error.as_ref().and_then(|error| error.code.as_ref()),
            "created_at": object.created,
        }))
    }

    /// Binds $10 to $17.
    pub fn bind<'q>(&'q self, statement: Statement<'q>) -> Statement<'q> {
        let object = &self.object;
        statement
            .bind(object.id.as_str())
            .bind(object.customer.as_ref().map(Reference::as_str))
            .bind(object.status.as_str())
            .bind(object.amount)
            .bind(object.amount_received)
            .bind(object.currency.code())
            .bind(object.last_payment_error.as_ref().and_then(|error| error.code.as_ref()).map(Text::as_str))
            .bind(object.created.0)
    }
}
