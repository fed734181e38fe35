//! Deliveries: signed, repeated until accepted, and spoilt on demand.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use stack::stripe::{AttemptOutcome, DeliveryOptions, Faults, StripeOptions, sign};

use super::api::{Api, id};
use super::receiver::{Delivery, Receiver};

const PATIENCE: Duration = Duration::from_secs(20);

fn is_signed(delivery: &Delivery, secret: &str) -> bool {
    let timestamp: i64 = delivery.signed("t")[0].parse().expect("t is a number");
    delivery.signed("v1").contains(&sign(secret, timestamp, &delivery.body).as_str())
}

fn quick(attempts_max: u32) -> StripeOptions {
    let delivery = DeliveryOptions {
        attempts_max,
        retry_base: Duration::from_millis(5),
        retry_cap: Duration::from_millis(20),
        timeout: Duration::from_millis(300),
        ..DeliveryOptions::default()
    };
    StripeOptions { seed: Some(11), delivery, ..StripeOptions::default() }
}

#[test]
fn signatures_match_the_documented_scheme() {
    // Computed with: printf '%s' '1700000000.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_test
    let expected = "c89214b5b5da833daed6f0b8c5bb6bd58cea9022bd80ccc78230f3942d632925";
    assert_eq!(sign("whsec_test", 1_700_000_000, r#"{"id":"evt_1"}"#), expected);
}

#[tokio::test]
async fn endpoints_get_what_they_asked_for_signed_and_indented() {
    let api = Api::start().await;
    let hook = Receiver::start().await;
    let form = format!("url={}&enabled_events[]=customer.created", hook.url);
    let endpoint = api.make("/v1/webhook_endpoints", &form).await;
    let secret = endpoint["secret"].as_str().expect("the answer to the creation has the secret").to_owned();
    let path = format!("/v1/webhook_endpoints/{}", id(&endpoint));
    assert!(api.read(&path, "").await.get("secret").is_none(), "no later answer has it");

    let customer = api.make("/v1/customers", "name=Zo\u{eb}%20%22quoted%22").await;
    api.make(&format!("/v1/customers/{}", id(&customer)), "name=Ann").await;
    api.stripe.settle(PATIENCE).await.expect("the receiver answers 200");
    let deliveries = hook.deliveries();
    assert_eq!(hook.kinds(), ["customer.created"]);
    assert!(is_signed(&deliveries[0], &secret));
    assert!(!is_signed(&deliveries[0], "whsec_other"));
    assert_eq!(deliveries[0].signed("v0").len(), 1);
    assert!(deliveries[0].body.starts_with("{\n  \"id\": \"evt_"), "{}", deliveries[0].body);
    assert_eq!(deliveries[0].event()["data"]["object"], customer);
    assert_eq!(deliveries[0].event()["pending_webhooks"], 1);
    let listed = &api.read("/v1/events", "type=customer.created").await["data"][0];
    assert_eq!(listed["pending_webhooks"], 0);

    api.make(&path, "disabled=true").await;
    api.make("/v1/customers", "").await;
    api.make(&path, "disabled=false&enabled_events[]=*").await;
    api.make("/v1/products", "name=Course").await;
    assert_eq!(api.delete(&path).await.json["deleted"], true);
    api.make("/v1/customers", "").await;
    api.stripe.settle(PATIENCE).await.expect("nothing is left");
    assert!(!hook.kinds()[1..].contains(&"customer.created".to_owned()), "{:?}", hook.kinds());
}

#[tokio::test]
async fn a_rolled_secret_signs_beside_the_old_one() {
    let api = Api::start().await;
    let hook = Receiver::start().await;
    let endpoint = api.stripe.add_endpoint(&hook.url, "whsec_old", &["*"]);
    api.stripe.roll_secret(&endpoint, "whsec_new", true);
    api.make("/v1/customers", "").await;
    api.stripe.settle(PATIENCE).await.expect("the receiver answers 200");
    api.stripe.end_secret_overlap(&endpoint);
    api.make("/v1/customers", "").await;
    api.stripe.settle(PATIENCE).await.expect("the receiver answers 200");
    let deliveries = hook.deliveries();
    assert_eq!(deliveries[0].signed("v1").len(), 2);
    assert!(is_signed(&deliveries[0], "whsec_old") && is_signed(&deliveries[0], "whsec_new"));
    assert!(is_signed(&deliveries[1], "whsec_new") && !is_signed(&deliveries[1], "whsec_old"));
}

#[tokio::test]
async fn failures_are_tried_again_and_undelivered_events_are_listed() {
    let api = Api::start_with(quick(4)).await;
    let hook = Receiver::start().await;
    api.stripe.add_endpoint(&hook.url, "whsec_x", &["*"]);
    hook.answer_next(&[500, 302, 404]);
    api.make("/v1/customers", "").await;
    api.stripe.settle(PATIENCE).await.expect("the fourth attempt is accepted");
    assert_eq!(hook.deliveries().len(), 4);
    let bodies: HashSet<_> = hook.deliveries().iter().map(|delivery| delivery.body.clone()).collect();
    assert_eq!(bodies.len(), 1, "each attempt carries the same event");
    assert!(hook.deliveries().iter().all(|delivery| is_signed(delivery, "whsec_x")));
    let outcomes: Vec<_> =
        api.stripe.delivery_log().into_iter().map(|attempt| (attempt.attempt, attempt.outcome)).collect();
    let answered = AttemptOutcome::Answered;
    assert_eq!(outcomes, [(1, answered(500)), (2, answered(302)), (3, answered(404)), (4, answered(200))]);

    hook.answer_next(&[503; 4]);
    let lost = api.make("/v1/products", "name=Course").await;
    api.stripe.settle(PATIENCE).await.expect("it is given up");
    assert_eq!(api.stripe.delivery_stats().exhausted, 1);
    let undelivered = api.read("/v1/events", "delivery_success=false").await;
    assert_eq!(undelivered["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(undelivered["data"][0]["data"]["object"]["id"], lost["id"]);
    assert_eq!(undelivered["data"][0]["pending_webhooks"], 1);

    api.stripe.resend(&id(&undelivered["data"][0])).expect("the event exists");
    api.stripe.settle(PATIENCE).await.expect("the receiver answers 200");
    let undelivered = api.read("/v1/events", "delivery_success=false").await;
    assert_eq!(undelivered["data"].as_array().map(Vec::len), Some(0));
}

#[tokio::test]
async fn a_silent_or_absent_receiver_counts_as_failed() {
    let api = Api::start_with(quick(2)).await;
    let hook = Receiver::start().await;
    hook.stall(Duration::from_secs(5));
    api.stripe.add_endpoint(&hook.url, "whsec_x", &["*"]);
    api.stripe.add_endpoint("http://127.0.0.1:1/nobody", "whsec_x", &["*"]);
    api.make("/v1/customers", "").await;
    api.stripe.settle(PATIENCE).await.expect("both are given up");
    let stats = api.stripe.delivery_stats();
    assert_eq!((stats.exhausted, stats.failed_attempts, stats.delivered), (2, 4, 0));
    assert_eq!(api.stripe.events()[0]["pending_webhooks"], 2);
    let silent = |outcome: &AttemptOutcome| matches!(outcome, AttemptOutcome::Unanswered(_));
    assert!(api.stripe.delivery_log().iter().all(|attempt| silent(&attempt.outcome)));
}

#[tokio::test]
async fn deliveries_are_lost_doubled_delayed_and_shuffled_on_demand() {
    let api = Api::start_with(quick(500)).await;
    let hook = Receiver::start().await;
    api.stripe.add_endpoint(&hook.url, "whsec_x", &["*"]);
    let delay = Some((Duration::ZERO, Duration::from_millis(30)));
    api.stripe.faults(Faults { drop: 0.2, duplicate: 0.3, delay, shuffle: 16 });
    for number in 0..400 {
        api.stripe.request("POST", "/v1/customers", &format!("name=c{number}")).expect("customers are made");
    }
    api.stripe.settle(PATIENCE).await.expect("the receiver answers 200");
    let stats = api.stripe.delivery_stats();
    assert_eq!((stats.queued, stats.exhausted), (400, 0));
    assert!((40..=120).contains(&stats.dropped), "{stats:?}");
    assert!((60..=140).contains(&stats.duplicated), "{stats:?}");
    assert_eq!(stats.delivered + stats.dropped, 400, "{stats:?}");

    let mut counts: HashMap<String, usize> = HashMap::new();
    for id in hook.ids() {
        *counts.entry(id).or_default() += 1;
    }
    assert_eq!(counts.len() as u64, stats.delivered);
    assert_eq!(counts.values().filter(|count| **count == 2).count() as u64, stats.duplicated);
    let order: Vec<String> =
        api.stripe.events().iter().map(id).filter(|id| counts.contains_key(id)).collect();
    let mut first_seen = hook.ids();
    let mut seen = HashSet::new();
    first_seen.retain(|id| seen.insert(id.clone()));
    assert_ne!(first_seen, order, "they do not arrive in order");

    let mut undelivered = 0;
    let mut cursor = String::new();
    loop {
        let page = api.read("/v1/events", &format!("delivery_success=false&limit=100{cursor}")).await;
        let data = page["data"].as_array().expect("data");
        undelivered += data.len() as u64;
        match data.last() {
            Some(last) if page["has_more"] == true => cursor = format!("&starting_after={}", id(last)),
            _ => break,
        }
    }
    assert_eq!(undelivered, stats.dropped, "lost deliveries stay listed as undelivered");
}

#[tokio::test]
async fn without_faults_one_at_a_time_arrives_in_order_and_the_bound_holds() {
    let mut options = quick(500);
    options.delivery.concurrency = 1;
    let api = Api::start_with(options).await;
    let hook = Receiver::start().await;
    api.stripe.add_endpoint(&hook.url, "whsec_x", &["*"]);
    for _ in 0..50 {
        api.stripe.request("POST", "/v1/customers", "").expect("customers are made");
    }
    api.stripe.settle(PATIENCE).await.expect("the receiver answers 200");
    assert_eq!(hook.ids(), api.stripe.events().iter().map(id).collect::<Vec<_>>());

    let api = Api::start_with(StripeOptions {
        delivery: DeliveryOptions { concurrency: 3, ..DeliveryOptions::default() },
        ..StripeOptions::default()
    })
    .await;
    let slow = Receiver::start().await;
    slow.stall(Duration::from_millis(20));
    api.stripe.add_endpoint(&slow.url, "whsec_x", &["*"]);
    for _ in 0..30 {
        api.stripe.request("POST", "/v1/customers", "").expect("customers are made");
    }
    api.stripe.settle(PATIENCE).await.expect("the receiver answers 200");
    assert_eq!((slow.deliveries().len(), slow.most_under_way()), (30, 3));
}

#[tokio::test]
async fn paused_deliveries_wait() {
    let api = Api::start().await;
    let hook = Receiver::start().await;
    api.stripe.add_endpoint(&hook.url, "whsec_x", &["*"]);
    api.stripe.pause_deliveries();
    api.make("/v1/customers", "").await;
    let unsettled = api.stripe.settle(Duration::from_millis(200)).await.expect_err("it is held");
    assert_eq!((unsettled.outstanding, hook.deliveries().len()), (1, 0));
    assert_eq!(
        api.read("/v1/events", "delivery_success=false").await["data"].as_array().map(Vec::len),
        Some(1)
    );
    api.stripe.resume_deliveries();
    api.stripe.settle(PATIENCE).await.expect("it goes on");
    assert_eq!(hook.deliveries().len(), 1);
}

#[tokio::test]
async fn scripts_steer_deliveries_over_http() {
    let api = Api::start().await;
    let hook = Receiver::start().await;
    api.stripe.add_endpoint(&hook.url, "whsec_x", &["*"]);
    api.make("/v1/test_helpers/deliveries/pause", "").await;
    api.make("/v1/test_helpers/deliveries/faults", "drop=1").await;
    api.make("/v1/customers", "").await;
    api.make("/v1/test_helpers/deliveries/faults", "duplicate=1&shuffle=4&delay_ms=5").await;
    api.make("/v1/customers", "").await;
    let counts = api.read("/v1/test_helpers/deliveries", "").await;
    assert_eq!(
        (&counts["queued"], &counts["dropped"], &counts["outstanding"]),
        (&2.into(), &1.into(), &2.into())
    );
    api.make("/v1/test_helpers/deliveries/resume", "").await;
    api.stripe.settle(PATIENCE).await.expect("the receiver answers 200");
    assert_eq!(hook.deliveries().len(), 2);
    assert_eq!(api.post("/v1/test_helpers/deliveries/faults", "drop=2").await.status, 400);
    api.make("/v1/test_helpers/fail_next", "fault=server_error").await;
    assert_eq!(api.get("/v1/account", "").await.status, 500);
    let clock = api.make("/v1/test_helpers/clock", "set=1700000000").await;
    assert_eq!(clock["now"], 1_700_000_000);
    assert_eq!(api.make("/v1/customers", "").await["created"], 1_700_000_000);
    assert_eq!(api.stripe.request_count(), 4, "test actions are not requests");
}

#[tokio::test]
async fn the_same_seed_makes_the_same_ids_and_losses() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let api = Api::start_with(quick(1)).await;
        api.stripe.set_clock(1_700_000_000);
        api.stripe.add_endpoint("http://127.0.0.1:1/nobody", "whsec_x", &["*"]);
        api.stripe.pause_deliveries();
        api.stripe.faults(Faults { drop: 0.5, ..Faults::default() });
        for _ in 0..50 {
            api.stripe.request("POST", "/v1/customers", "").expect("customers are made");
        }
        let dropped: Vec<_> =
            api.stripe.delivery_log().iter().map(|attempt| attempt.event.to_string()).collect();
        runs.push((api.stripe.events(), dropped));
    }
    assert_eq!(runs[0], runs[1]);
    assert!(!runs[0].1.is_empty());
}
