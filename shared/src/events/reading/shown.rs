//! What sessions and invoices show besides: when they were paid, which of their events only one says.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::events::field::{Instant, Reference, Text};
use crate::events::list::List;

/// What a session shows besides, some of it expanded.
#[derive(Deserialize)]
pub(super) struct Session<'a> {
    pub(super) status: Option<Text>,
    payment_status: Option<Text>,
    #[serde(borrow)]
    pub(super) line_items: Option<&'a RawValue>,
    payment_intent: Option<Shown<PaymentIntent>>,
    subscription: Option<Shown<Subscription>>,
}

/// A reference, or the object itself where it was expanded.
#[derive(Deserialize)]
#[serde(untagged)]
enum Shown<T> {
    Whole(T),
    Named(#[expect(dead_code, reason = "an id says nothing of what it names")] Reference),
}

impl<T> Shown<T> {
    fn whole(&self) -> Option<&T> {
        match self {
            Self::Whole(object) => Some(object),
            Self::Named(_) => None,
        }
    }
}

#[derive(Deserialize)]
struct PaymentIntent {
    status: Text,
    latest_charge: Option<Shown<Charge>>,
}

#[derive(Deserialize)]
struct Charge {
    created: Instant,
    balance_transaction: Option<Shown<BalanceTransaction>>,
}

#[derive(Deserialize)]
struct BalanceTransaction {
    created: Instant,
}

#[derive(Deserialize)]
struct Subscription {
    created: Instant,
}

impl Session<'_> {
    /// When the money came: as the balance says it, which for a payment that takes days is when it succeeded.
    pub(super) fn paid_at(&self) -> Option<Instant> {
        let charge = self
            .payment_intent
            .as_ref()
            .and_then(Shown::whole)
            .and_then(|payment| payment.latest_charge.as_ref().and_then(Shown::whole));
        let moved = charge.and_then(|charge| charge.balance_transaction.as_ref().and_then(Shown::whole));
        moved.map(|moved| moved.created).or(charge.map(|charge| charge.created)).or(self
            .subscription
            .as_ref()
            .and_then(Shown::whole)
            .map(|subscription| subscription.created))
    }

    /// A session that was completed unpaid, and whose payment has not come about since.
    pub(super) fn payment_failed(&self) -> bool {
        let unpaid = self.payment_status.as_ref().is_some_and(|status| status.as_str() == "unpaid");
        let payment = self.payment_intent.as_ref().and_then(Shown::whole);
        unpaid
            && payment.is_some_and(|payment| {
                matches!(payment.status.as_str(), "requires_payment_method" | "canceled")
            })
    }
}

/// What an invoice shows of how it was paid.
#[derive(Deserialize)]
pub(super) struct Collected {
    status: Text,
    amount_due: i64,
    paid_out_of_band: Option<bool>,
    /// Since 2025-03-31, expanded.
    payments: Option<List<InvoicePayment>>,
    #[serde(default)]
    status_transitions: StatusTransitions,
}

#[derive(Deserialize)]
struct InvoicePayment {
    status: Text,
    payment: Payment,
}

#[derive(Deserialize)]
struct Payment {
    payment_intent: Option<Reference>,
    charge: Option<Reference>,
}

#[derive(Default, Deserialize)]
struct StatusTransitions {
    paid_at: Option<Instant>,
}

impl Collected {
    /// When Stripe collected it; `None` where it is not paid, or was marked as paid. One of nothing counts as collected.
    pub(super) fn collected_at(&self) -> Option<Instant> {
        let by_stripe = |payment: &InvoicePayment| {
            payment.status.as_str() == "paid"
                && (payment.payment.payment_intent.is_some() || payment.payment.charge.is_some())
        };
        let collected = match &self.payments {
            Some(payments) => payments.data.iter().any(by_stripe),
            None => self.paid_out_of_band == Some(false),
        };
        (self.status.as_str() == "paid" && (collected || self.amount_due <= 0))
            .then_some(self.status_transitions.paid_at)
            .flatten()
    }
}
