//! `customer.subscription.*`: one row of `subscriptions` a subscription with one of `subscription_items` an item, a
//! tombstone at the end. What a subscription grants follows from its invoices, see [`super::invoice`].

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::field::{Fault, Id, Instant, NonNegative, Reference, Text, read};
use super::list::List;
use super::row::Row;
use super::statement::Statement;
use crate::money::Currency;

/// A subscription as an event shows it.
#[derive(Debug)]
pub struct Subscription {
    object: Object,
    items: Vec<Item>,
    rank: i64,
    ended: bool,
}

#[derive(Debug, Deserialize)]
struct Object {
    id: Id,
    cancel_at: Option<Instant>,
    cancel_at_period_end: Option<bool>,
    canceled_at: Option<Instant>,
    collection_method: Option<Text>,
    created: Instant,
    currency: Option<Currency>,
    /// On the items since 2025-03-31.
    current_period_end: Option<Instant>,
    current_period_start: Option<Instant>,
    customer: Reference,
    ended_at: Option<Instant>,
    items: List<ItemObject>,
    pause_collection: Option<PauseCollection>,
    start_date: Option<Instant>,
    status: Text,
    trial_end: Option<Instant>,
}

#[derive(Debug, Deserialize)]
struct PauseCollection {
    resumes_at: Option<Instant>,
}

#[derive(Debug, Deserialize)]
struct ItemObject {
    id: Id,
    current_period_end: Option<Instant>,
    current_period_start: Option<Instant>,
    /// Before there were prices, in 2020.
    plan: Option<Price>,
    price: Option<Price>,
    quantity: Option<NonNegative>,
}

#[derive(Debug, Deserialize)]
struct Price {
    id: Id,
    product: Option<Reference>,
}

#[derive(Debug)]
struct Item {
    id: Id,
    price: Price,
    quantity: Option<NonNegative>,
    period_start: Instant,
    period_end: Instant,
}

impl Subscription {
    /// Records the event, writes the subscription and replaces its items.
    pub const STATEMENT: &str = concat!(
        include_str!("sql/ready.sql"),
        include_str!("sql/record_applied.sql"),
        include_str!("sql/subscription.sql"),
        include_str!("sql/audited.sql"),
        include_str!("sql/recorded_or_tied.sql")
    );

    /// Reads `data.object`.
    ///
    /// # Errors
    /// The field that is missing or cannot be read.
    pub fn read(kind: &str, object: &RawValue) -> Result<Self, Fault> {
        let mut object: Object = read("data.object", object)?;
        let own_period = (object.current_period_start, object.current_period_end);
        let items = std::mem::take(&mut object.items.data)
            .into_iter()
            .enumerate()
            .map(|(place, item)| item.read(&format!("data.object.items.data[{place}]"), own_period))
            .collect::<Result<_, _>>()?;
        // Stripe documentation, "How subscriptions work": these two are final.
        let ended = kind == "customer.subscription.deleted"
            || matches!(object.status.as_str(), "canceled" | "incomplete_expired");
        // A subscription is made incomplete or on trial, and may turn active within that second.
        let rank = match (kind, object.status.as_str()) {
            ("customer.subscription.created", _) => 0,
            ("customer.subscription.deleted", _) => 9,
            _ if ended => 8,
            (_, "incomplete") => 1,
            (_, "trialing") => 2,
            _ => 3,
        };
        Ok(Self { object, items, rank, ended })
    }

    /// The id of the subscription.
    pub fn id(&self) -> &str {
        self.object.id.as_str()
    }

    /// How far the subscription had come.
    pub fn rank(&self) -> i64 {
        self.rank
    }

    /// What its row holds of it, and those of its items: see [`super::reading`].
    pub fn row(&self) -> Row {
        let object = &self.object;
        let paused_until = object.pause_collection.as_ref().map(|pause| match pause.resumes_at {
            Some(at) => json!(at),
            None => json!("infinity"),
        });
        let row = json!({
            "id": object.id,
            "customer_id": object.customer,
            "status": object.status,
            "currency": object.currency,
            "collection_method": object.collection_method,
            "cancel_at_period_end": object.cancel_at_period_end,
            "cancel_at": object.cancel_at,
            "canceled_at": object.canceled_at,
            "paused_until": paused_until,
            "trial_end": object.trial_end,
            "started_at": object.start_date,
            "ended_at": if self.ended { object.ended_at } else { None },
            "items_complete": !object.items.has_more,
            "created_at": object.created,
        });
        let item = |item: &Item| {
            json!({
                "id": item.id,
                "price_id": item.price.id,
                "product_id": item.price.product,
                "quantity": item.quantity,
                "current_period_start": item.period_start,
                "current_period_end": item.period_end,
            })
        };
        self.items.iter().map(item).fold(Row::new(row), Row::with_part)
    }

    /// Binds $10 to $31.
    pub fn bind<'q>(&'q self, statement: Statement<'q>) -> Statement<'q> {
        let object = &self.object;
        let instant = |instant: Option<Instant>| instant.map(|instant| instant.0);
        let pause = object.pause_collection.as_ref();
        let items = self.items.as_slice();
        statement
            .bind(object.id.as_str())
            .bind(object.customer.as_str())
            .bind(object.status.as_str())
            .bind(object.currency.as_ref().map(Currency::code))
            .bind(object.collection_method.as_ref().map(Text::as_str))
            .bind(object.cancel_at_period_end)
            .bind(instant(object.cancel_at))
            .bind(instant(object.canceled_at))
            .bind(pause.is_some())
            .bind(instant(pause.and_then(|pause| pause.resumes_at)))
            .bind(instant(object.trial_end))
            .bind(instant(object.start_date))
            .bind(self.ended)
            .bind(instant(object.ended_at))
            .bind(!object.items.has_more)
            .bind(object.created.0)
            .bind(items.iter().map(|item| item.id.as_str()).collect::<Vec<_>>())
            .bind(items.iter().map(|item| item.price.id.as_str()).collect::<Vec<_>>())
            .bind(
                items
                    .iter()
                    .map(|item| item.price.product.as_ref().map(Reference::as_str))
                    .collect::<Vec<_>>(),
            )
            .bind(items.iter().map(|item| item.quantity).collect::<Vec<_>>())
            .bind(items.iter().map(|item| item.period_start.0).collect::<Vec<_>>())
            .bind(items.iter().map(|item| item.period_end.0).collect::<Vec<_>>())
    }
}

impl ItemObject {
    fn read(self, path: &str, of_subscription: (Option<Instant>, Option<Instant>)) -> Result<Item, Fault> {
        let missing = |field: &str| Fault::new(format!("{path}.{field}"), "missing");
        Ok(Item {
            id: self.id,
            price: self.price.or(self.plan).ok_or_else(|| missing("price"))?,
            quantity: self.quantity,
            period_start: self
                .current_period_start
                .or(of_subscription.0)
                .ok_or_else(|| missing("current_period_start"))?,
            period_end: self
                .current_period_end
                .or(of_subscription.1)
                .ok_or_else(|| missing("current_period_end"))?,
        })
    }
}
