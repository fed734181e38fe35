//! Idempotency, the rate limit, failures on demand.

use std::time::{Duration, Instant};

use stack::stripe::{ApiFault, RateLimit};

use super::api::{Api, id};

#[tokio::test]
async fn a_repeated_key_replays_and_another_request_is_refused() {
    let api = Api::start().await;
    let key = [("Idempotency-Key", "order-1")];
    let first = api.send("POST", "/v1/customers", "name=Ann&email=a@example.com", &key).await;
    assert_eq!(first.header("idempotent-replayed"), None);
    assert_eq!(first.header("idempotency-key"), Some("order-1"));
    let again = api.send("POST", "/v1/customers", "email=a@example.com&name=Ann", &key).await;
    assert_eq!((again.status, &again.text), (200, &first.text));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.header("original-request"), first.header("request-id"));
    assert_eq!((api.stripe.count("customer"), api.stripe.event_count()), (1, 1));

    let other = api.send("POST", "/v1/customers", "name=Bob", &key).await;
    assert_eq!((other.status, &other.json["error"]["type"]), (400, &"idempotency_error".into()));
    let elsewhere = api.send("POST", "/v1/products", "name=Ann", &key).await;
    assert!(elsewhere.error().2.contains("('/v1/products' vs '/v1/customers')"), "{}", elsewhere.text);
    assert_eq!(
        api.send("POST", "/v1/customers", "", &[("Idempotency-Key", &"k".repeat(256))]).await.status,
        400
    );
}

#[tokio::test]
async fn a_decline_is_kept_and_a_bad_parameter_is_not() {
    let api = Api::start().await;
    let key = [("Idempotency-Key", "pay-1")];
    let form = "amount=1000&currency=usd&payment_method=pm_card_chargeDeclined&confirm=true";
    let first = api.send("POST", "/v1/payment_intents", form, &key).await;
    let again = api.send("POST", "/v1/payment_intents", form, &key).await;
    assert_eq!((first.status, again.status, &again.text), (402, 402, &first.text));
    assert_eq!(api.stripe.count("charge"), 1);

    let key = [("Idempotency-Key", "pay-2")];
    assert_eq!(api.send("POST", "/v1/customers", "nonsense=1", &key).await.status, 400);
    assert_eq!(api.send("POST", "/v1/customers", "name=Ann", &key).await.status, 200);
}

#[tokio::test]
async fn the_rate_limit_answers_429_and_lets_through_what_it_promises() {
    let api = Api::start().await;
    api.stripe.set_rate_limit(Some(RateLimit { per_second: 5, per_endpoint: None }));
    let start = Instant::now();
    let (mut answered, mut refused) = (0_u32, 0_u32);
    while start.elapsed() < Duration::from_millis(1500) {
        let answer = api.get("/v1/account", "").await;
        if answer.status == 429 {
            refused += 1;
            assert_eq!(answer.header("retry-after"), Some("1"));
            assert_eq!(answer.error().1, "rate_limit");
            tokio::time::sleep(Duration::from_millis(5)).await;
        } else {
            answered += 1;
        }
    }
    // One second's worth at once, then the rate. How much of the rate is used is the machine's pace, not promised.
    let promised = 5.0 + start.elapsed().as_secs_f64() * 5.0;
    let answered = f64::from(answered);
    assert!(
        refused > 0 && answered <= promised && answered >= 5.0,
        "{answered} of {promised}, {refused} refused"
    );

    api.stripe.set_rate_limit(Some(RateLimit { per_second: 1000, per_endpoint: Some(2) }));
    let customer = id(&api.make("/v1/customers", "").await);
    assert_eq!(api.get(&format!("/v1/customers/{customer}"), "").await.status, 200);
    // Each id is another one; their endpoint is the same, and fills its limit faster than that fills up again.
    let mut asked = 0;
    while api.get(&format!("/v1/customers/cus_x{asked}"), "").await.status != 429 {
        asked += 1;
        assert!(asked < 200, "ids share their endpoint's limit");
    }
    assert_eq!(api.get("/v1/account", "").await.status, 200, "other endpoints have their own");
}

#[tokio::test]
async fn requests_fail_on_demand() {
    let api = Api::start().await;
    api.stripe.fail_next(2, ApiFault::ServerError);
    for expected in [500, 500, 200] {
        assert_eq!(api.post("/v1/customers", "").await.status, expected);
    }
    assert_eq!((api.stripe.count("customer"), api.stripe.request_count()), (1, 3));

    let patience = Duration::from_millis(400);
    api.stripe.fail_next(1, ApiFault::NoAnswer);
    assert!(tokio::time::timeout(patience, api.post("/v1/customers", "")).await.is_err());
    assert_eq!(api.stripe.count("customer"), 1);

    // The answer was lost, the work was done: only the key keeps it from being done twice.
    let key = [("Idempotency-Key", "once")];
    api.stripe.fail_next(1, ApiFault::LostAnswer);
    assert!(tokio::time::timeout(patience, api.send("POST", "/v1/customers", "", &key)).await.is_err());
    assert_eq!(api.stripe.count("customer"), 2);
    let replayed = api.send("POST", "/v1/customers", "", &key).await;
    assert_eq!(replayed.header("idempotent-replayed"), Some("true"));
    assert_eq!(api.stripe.count("customer"), 2);
}

#[tokio::test]
async fn the_stand_in_ends_with_its_last_handle() {
    let api = Api::start().await;
    let address = api.stripe.api_base().trim_start_matches("http://").to_owned();
    let second = api.stripe.clone();
    assert_eq!(api.get("/v1/account", "").await.status, 200);
    drop(api);
    assert!(tokio::net::TcpStream::connect(&address).await.is_ok());
    drop(second);
    for _ in 0..100 {
        if tokio::net::TcpStream::connect(&address).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{address} still accepts connections");
}
