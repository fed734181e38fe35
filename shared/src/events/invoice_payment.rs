//! `invoice_payment.*` (since 2025-05-28): what links an invoice with the payment that pays it.

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::field::{Fault, Id, Instant, NonNegative, Reference, Text, read};
use super::row::Row;
use super::statement::Statement;
use crate::money::Currency;

/// An invoice payment as an event shows it.
#[derive(Debug)]
pub struct InvoicePayment {
    object: Object,
}

#[derive(Debug, Deserialize)]
struct Object {
    id: Id,
    amount_paid: Option<NonNegative>,
    created: Instant,
    currency: Currency,
    invoice: Reference,
    is_default: Option<bool>,
    payment: Payment,
    status: Text,
    #[serde(default)]
    status_transitions: StatusTransitions,
}

/// A payment intent, a charge, or a record of a payment that Stripe had no part in.
#[derive(Debug, Deserialize)]
struct Payment {
    charge: Option<Reference>,
    payment_intent: Option<Reference>,
}

#[derive(Debug, Default, Deserialize)]
struct StatusTransitions {
    paid_at: Option<Instant>,
}

impl InvoicePayment {
    /// Records the event, writes the invoice payment, and joins it with the session that the invoice bills.
    pub const STATEMENT: &str = concat!(
        include_str!("sql/ready.sql"),
        include_str!("sql/record_applied.sql"),
        include_str!("sql/invoice_payment.sql"),
        include_str!("sql/invoice_order.sql"),
        include_str!("sql/take_back.sql"),
        include_str!("sql/audited.sql"),
        include_str!("sql/recorded.sql")
    );

    /// Reads `data.object`.
    ///
    /// # Errors
    /// The field that is missing or cannot be read.
    pub fn read(object: &RawValue) -> Result<Self, Fault> {
        Ok(Self { object: read("data.object", object)? })
    }

    /// How far the invoice payment had come (Stripe documentation, "The Invoice Payment object").
    pub fn rank(&self) -> i64 {
        match self.object.status.as_str() {
            "open" => 0,
            "paid" => 1,
            _ => 2,
        }
    }

    /// What its row holds of it; a part says which payment pays which invoice: see [`super::reading`].
    pub fn row(&self) -> Row {
        let object = &self.object;
        let row = Row::new(json!({
            "id": object.id,
            "invoice_id": object.invoice,
            "payment_id": object.payment.payment_intent,
            "charge_id": object.payment.charge,
            "status": object.status,
            "amount_paid": object.amount_paid,
            "currency": object.currency,
            "paid_at": object.status_transitions.paid_at,
            "created_at": object.created,
        }));
        match &object.payment.payment_intent {
            Some(payment) if object.is_default.unwrap_or(true) => {
                row.with_part(json!({"invoice_id": object.invoice, "payment_id": payment}))
            }
            _ => row,
        }
    }

    /// The id of the invoice payment.
    pub fn id(&self) -> &str {
        self.object.id.as_str()
    }

    /// Binds $10 to $19.
    pub fn bind<'q>(&'q self, statement: Statement<'q>) -> Statement<'q> {
        let object = &self.object;
        statement
            .bind(object.id.as_str())
            .bind(object.invoice.as_str())
            .bind(object.payment.payment_intent.as_ref().map(Reference::as_str))
            .bind(object.payment.charge.as_ref().map(Reference::as_str))
            .bind(object.status.as_str())
            .bind(object.amount_paid)
            .bind(object.currency.code())
            .bind(object.status_transitions.paid_at.map(|paid_at| paid_at.0))
            .bind(object.created.0)
            .bind(object.is_default.unwrap_or(true))
    }
}
