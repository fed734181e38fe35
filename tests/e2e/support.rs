//! What several tests do the same way.

use std::convert::Infallible;
use std::time::Duration;

use recoup::events::checkout_session::Line;
use recoup::events::receive::LineItems;
use stack::lambda::Reply;
use stack::records::Records;
use stack::shop::Shop;
use stack::stripe::{DeliveryOptions, Faults, StripeOptions};
use stack::{Stack, StackBuilder};

/// For sessions that have their lines in their metadata.
pub struct NoneToFetch;

impl LineItems for NoneToFetch {
    type Error = Infallible;

    async fn of_session(&self, session: &str, _account: Option<&str>) -> Result<Vec<Line>, Infallible> {
        panic!("the lines of {session} are in its metadata")
    }
}

/// Long enough for anything here on a slow machine.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// A stack whose Stripe comes back soon after a failed delivery.
pub fn eager() -> StackBuilder {
    let delivery = DeliveryOptions {
        retry_base: Duration::from_millis(20),
        retry_cap: Duration::from_millis(200),
        attempts_max: 10_000,
        ..DeliveryOptions::default()
    };
    Stack::builder().stripe(StripeOptions { delivery, ..StripeOptions::default() })
}

/// Deliveries as bad as the network makes them, none of them lost.
pub fn shuffled() -> Faults {
    Faults {
        duplicate: 0.2,
        shuffle: 40,
        delay: Some((Duration::ZERO, Duration::from_millis(100))),
        drop: 0.0,
    }
}

/// The same shop's sales, delivered in order and once, to a stack of its own: what every other way must end in.
pub async fn records_of(stack: &Stack) -> Records {
    Records::read(&stack.pool).await.expect("records")
}

/// Sells and waits until every event is delivered.
pub async fn sell(stack: &Stack, shop: &mut Shop, checkouts: u32) {
    shop.sell(checkouts).expect("sales");
    settle(stack).await;
}

/// Waits until every event is delivered.
pub async fn settle(stack: &Stack) {
    stack.stripe.settle(PATIENCE).await.expect("all delivered");
}

/// The payload of a reply that must be a success.
pub fn succeeded(reply: Reply) -> serde_json::Value {
    assert!(reply.function_error.is_none(), "{}", reply.payload);
    reply.payload
}

/// The error type of a reply that must be a failure.
pub fn failed(reply: &Reply) -> &str {
    assert!(reply.function_error.is_some(), "{}", reply.payload);
    reply.payload["errorType"].as_str().expect("an error type")
}

/// One number from the database.
pub async fn count(stack: &Stack, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(&stack.pool).await.expect("a count")
}
