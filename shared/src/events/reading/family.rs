//! The families of objects that are compared, and what every object has.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::events::field::{Fault, Id, Instant, Text, read};

/// The families of objects that are compared, those first that others lean on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// `connected_accounts`
    Account,
    /// `catalog_items`
    Product,
    /// `catalog_items`
    Price,
    /// `customers`
    Customer,
    /// `payments`
    PaymentIntent,
    /// `charges`
    Charge,
    /// `refunds`
    Refund,
    /// `disputes`
    Dispute,
    /// `subscriptions`
    Subscription,
    /// `invoices`
    Invoice,
    /// `invoice_payments`
    InvoicePayment,
    /// `orders`
    CheckoutSession,
    /// `payouts`
    Payout,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Account,
        Self::Product,
        Self::Price,
        Self::Customer,
        Self::PaymentIntent,
        Self::Charge,
        Self::Refund,
        Self::Dispute,
        Self::Subscription,
        Self::Invoice,
        Self::InvoicePayment,
        Self::CheckoutSession,
        Self::Payout,
    ];

    /// Stripe's name of the type.
    pub fn object(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Product => "product",
            Self::Price => "price",
            Self::Customer => "customer",
            Self::PaymentIntent => "payment_intent",
            Self::Charge => "charge",
            Self::Refund => "refund",
            Self::Dispute => "dispute",
            Self::Subscription => "subscription",
            Self::Invoice => "invoice",
            Self::InvoicePayment => "invoice_payment",
            Self::CheckoutSession => "checkout.session",
            Self::Payout => "payout",
        }
    }

    /// The family of that name.
    pub fn of_object(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.object() == name)
    }

    /// Where Stripe's API lists it.
    pub fn path(self) -> String {
        match self {
            Self::CheckoutSession => "/v1/checkout/sessions".to_owned(),
            _ => format!("/v1/{}s", self.object()),
        }
    }

    /// The table of its own row.
    pub fn table(self) -> &'static str {
        match self {
            Self::Account => "connected_accounts",
            Self::Product | Self::Price => "catalog_items",
            Self::Customer => "customers",
            Self::PaymentIntent => "payments",
            Self::Charge => "charges",
            Self::Refund => "refunds",
            Self::Dispute => "disputes",
            Self::Subscription => "subscriptions",
            Self::Invoice => "invoices",
            Self::InvoicePayment => "invoice_payments",
            Self::CheckoutSession => "orders",
            Self::Payout => "payouts",
        }
    }

    /// The event that would show the object as it is.
    pub(super) fn event_type(self, deleted: bool) -> &'static str {
        match self {
            Self::Account => "account.updated",
            Self::Product if deleted => "product.deleted",
            Self::Product => "product.updated",
            Self::Price if deleted => "price.deleted",
            Self::Price => "price.updated",
            Self::Customer if deleted => "customer.deleted",
            Self::Customer => "customer.updated",
            Self::PaymentIntent => "payment_intent.updated",
            Self::Charge => "charge.updated",
            Self::Refund => "refund.updated",
            Self::Dispute => "charge.dispute.updated",
            Self::Subscription => "customer.subscription.updated",
            Self::Invoice => "invoice.updated",
            Self::InvoicePayment => "invoice_payment.paid",
            Self::CheckoutSession => "checkout.session.completed",
            Self::Payout => "payout.updated",
        }
    }
}

/// What every object of the API has.
#[derive(Debug, Deserialize)]
pub struct Head {
    /// Its id.
    pub id: Id,
    /// When it was made.
    pub created: Option<Instant>,
    /// Whether it is about real money.
    pub livemode: Option<bool>,
    /// Whether it is only a mark that it was.
    #[serde(default)]
    pub deleted: bool,
    /// What the seller wrote on it.
    #[serde(default)]
    pub metadata: Option<BTreeMap<String, Text>>,
}

impl Head {
    /// Reads it.
    ///
    /// # Errors
    /// The field that is missing or cannot be read.
    pub fn read(object: &RawValue) -> Result<Self, Fault> {
        read("object", object)
    }
}
