//! A line of an invoice, in the three shapes that it had: with a plan, with a price (2020), with its price under
//! `pricing` and its subscription under `parent` (2025-03-31).

use serde::Deserialize;

use super::field::{Id, Instant, NonNegative, Reference};

/// A line as an event shows it.
#[derive(Debug, Deserialize)]
pub struct Line {
    /// Stripe's id; it need not be unique, for old ones are those of the subscription.
    pub id: Id,
    /// Minor units; below zero where unused time is credited.
    pub amount: i64,
    /// The time that it bills.
    pub period: Period,
    /// Units; absent where use is metered.
    pub quantity: Option<NonNegative>,
    parent: Option<Parent>,
    plan: Option<Price>,
    price: Option<Price>,
    pricing: Option<Pricing>,
    subscription: Option<Reference>,
}

/// From when to when.
#[derive(Debug, Deserialize)]
pub struct Period {
    /// The first second.
    pub start: Instant,
    /// The first second after it.
    pub end: Instant,
}

#[derive(Debug, Deserialize)]
struct Price {
    id: Id,
    product: Option<Reference>,
}

#[derive(Debug, Deserialize)]
struct Pricing {
    price_details: Option<PriceDetails>,
}

#[derive(Debug, Deserialize)]
struct PriceDetails {
    price: Option<Reference>,
    product: Option<Reference>,
}

#[derive(Debug, Deserialize)]
struct Parent {
    invoice_item_details: Option<Details>,
    subscription_item_details: Option<Details>,
}

#[derive(Debug, Deserialize)]
struct Details {
    subscription: Option<Reference>,
}

impl Line {
    /// The subscription that the line bills.
    pub fn subscription(&self) -> Option<&str> {
        let parent = self.parent.as_ref();
        let details = parent.and_then(|parent| {
            parent.subscription_item_details.as_ref().or(parent.invoice_item_details.as_ref())
        });
        let parent = details.and_then(|details| details.subscription.as_ref());
        self.subscription.as_ref().or(parent).map(Reference::as_str)
    }

    /// The price, or the plan that it was before.
    pub fn price(&self) -> Option<&str> {
        let old = self.price.as_ref().or(self.plan.as_ref()).map(|price| price.id.as_str());
        old.or_else(|| self.details()?.price.as_ref().map(Reference::as_str))
    }

    /// The product of the price.
    pub fn product(&self) -> Option<&str> {
        let old = self.price.as_ref().or(self.plan.as_ref()).and_then(|price| price.product.as_ref());
        old.or_else(|| self.details()?.product.as_ref()).map(Reference::as_str)
    }

    fn details(&self) -> Option<&PriceDetails> {
        self.pricing.as_ref()?.price_details.as_ref()
    }
}
