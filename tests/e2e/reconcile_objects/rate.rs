//! Stripe's rate limit: never above it, and nearly all of the share that is ours is used.

use std::time::{Duration, Instant};

use secrecy::SecretString;
use serde_json::json;
use stack::stripe::{ApiFault, RateLimit, Stripe, StripeOptions};

use recoup::stripe::{Asked, Client, Share};

use super::shown::builder;
use crate::http::unix_now;
use crate::support::succeeded;

/// The most requests within any second.
fn most_within_a_second(arrivals: &[Instant]) -> usize {
    let within = |(at, first): (usize, &Instant)| {
        arrivals[at..]
            .iter()
            .take_while(|arrival| arrival.duration_since(*first) < Duration::from_secs(1))
            .count()
    };
    arrivals.iter().enumerate().map(within).max().unwrap_or(0)
}

/// The share of so many requests a second that was used from the first request to the last.
fn used(arrivals: &[Instant], per_second: f64) -> f64 {
    let elapsed = arrivals[arrivals.len() - 1].duration_since(arrivals[0]).as_secs_f64();
    (arrivals.len() - 1) as f64 / (elapsed * per_second)
}

#[tokio::test]
async fn the_share_of_the_limit_is_used_and_never_passed() {
    let stack = builder().env("reconcile", "STRIPE_RATE_SHARE_PERCENT", "80").start().await.expect("a stack");
    let begin = unix_now() - 100_000;
    for at in 0..2_000_i64 {
        for (prefix, object) in
            [("cus", "customer"), ("po", "payout"), ("pi", "payment_intent"), ("ch", "charge")]
        {
            stack.stripe.put(&json!({
                "id": format!("{prefix}_{at}a"), "object": object, "created": begin + at * 9, "livemode": false,
                "metadata": {},
            }));
        }
    }
    // As strict as Stripe is to a key of a sandbox, and without its allowance for bursts.
    stack.stripe.set_rate_limit(Some(RateLimit { per_second: 25, per_endpoint: Some(25) }));
    let request = json!({"action": "objects", "from": "2020-01-01T00:00:00Z", "metadata": {"none": "has"}});
    let reply = succeeded(stack.invoke("reconcile", request).await.expect("invoked"));
    let arrivals = stack.stripe.arrivals();
    assert_eq!(reply["listed"], 8_000, "{reply:#}");
    assert_eq!(reply["api_calls"].as_u64(), Some(arrivals.len() as u64), "none was refused and repeated");
    // Four lists of twenty pages, and one request for each of the others.
    let least = 4 * 20 + 9;
    assert!(arrivals.len() as f64 <= f64::from(least) * 1.05, "{} requests", arrivals.len());
    let most = most_within_a_second(&arrivals);
    assert!(most <= 25, "{most} requests within a second");
    let used = used(&arrivals, 20.0);
    assert!(used >= 0.95, "{used} of the share was used");
}

fn client(stripe: &Stripe) -> Client {
    let key: SecretString = stripe.api_key().into();
    Client::patient(stripe.api_base(), key.into())
}

#[tokio::test]
async fn a_refused_request_waits_as_long_as_stripe_says_and_all_others_wait_with_it() {
    let stripe = Stripe::start(StripeOptions::default()).await.expect("a Stripe");
    let client = client(&stripe).at_share(Share::Percent(100));
    stripe.set_rate_limit(Some(RateLimit { per_second: 1, per_endpoint: None }));
    let began = Instant::now();
    client.get("/v1/account", None).await.expect("the first is answered");
    client.get("/v1/customers", None).await.expect("the second is answered later");
    assert!(began.elapsed() >= Duration::from_secs(1), "Retry-After says a second: {:?}", began.elapsed());
    assert!(stripe.request_count() <= 4, "{} requests", stripe.request_count());
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_done_once() {
    let stripe = Stripe::start(StripeOptions::default()).await.expect("a Stripe");
    let client = client(&stripe);
    stripe.fail_next(1, ApiFault::ServerError);
    let asked = Asked::default();
    client.post("/v1/customers", "name=Once", asked).await.expect("it is made");
    // The answer to this one never comes, although it is done.
    stripe.fail_next(1, ApiFault::LostAnswer);
    let key: SecretString = stripe.api_key().into();
    let hasty = Client::hasty(stripe.api_base(), key.into(), Duration::from_millis(300), 3);
    let answer = hasty.post("/v1/customers", "name=Twice", asked).await.expect("it is made");
    let made: serde_json::Value = serde_json::from_slice(&answer.body).expect("json");
    assert_eq!(made["name"], "Twice");
    assert_eq!(
        (stripe.count("customer"), stripe.request_count()),
        (2, 4),
        "two of each, and two of them made"
    );
    let refused = client.post("/v1/customers", "nonsense=1", asked).await.expect_err("refused");
    assert!(refused.to_string().contains("parameter_unknown") && stripe.request_count() == 5, "{refused}");
}

#[tokio::test]
async fn connections_are_kept() {
    let stripe = Stripe::start(StripeOptions::default()).await.expect("a Stripe");
    let client = client(&stripe);
    for _ in 0..30 {
        client.get("/v1/customers", None).await.expect("answered");
    }
    assert_eq!((stripe.request_count(), stripe.connection_count()), (30, 1));
}
