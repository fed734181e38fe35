//! The webhook, through HTTP and the real function: what it refuses, what it keeps, and what follows.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::Method;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::{Value, json};
use stack::Stack;
use stack::lambda::FunctionConfig;
use stack::shop::Shop;

use crate::http::{Http, header, unix_now};
use crate::support::{count, eager, records_of, sell, shuffled};

fn event(id: &str, kind: &str, object: &Value) -> Vec<u8> {
    let event = json!({
        "id": id, "object": "event", "api_version": "2026-09-30.endive", "created": unix_now(), "type": kind,
        "livemode": false, "pending_webhooks": 1, "request": {"id": null, "idempotency_key": null},
        "data": {"object": object},
    });
    serde_json::to_vec_pretty(&event).expect("json")
}

fn customer(id: &str, name: &str) -> Value {
    json!({"id": id, "object": "customer", "created": 1_700_000_000, "email": "ada@example.com", "name": name})
}

async fn inbox(stack: &Stack) -> i64 {
    count(stack, "select count(*) from recoup.webhook_events").await
}

async fn status_of(stack: &Stack, id: &str) -> (String, Option<String>) {
    sqlx::query_as("select status, last_error from recoup.webhook_events where id = $1")
        .bind(id)
        .fetch_one(&stack.pool)
        .await
        .expect("the event is kept")
}

#[tokio::test]
async fn what_is_not_proven_is_refused_and_not_stored() {
    let stack = Stack::builder().functions(["webhook"]).start().await.expect("a stack");
    let http = Http::new();
    let body = event("evt_forged", "customer.created", &customer("cus_1", "Mallory"));
    let now = unix_now();
    let good = header(&stack.webhook_secret, now, &body);
    let tampered = [&body[..], b" "].concat();
    let cases: [(Option<String>, &[u8], &str); 7] = [
        (None, &body, "SignatureMissing"),
        (Some("nonsense".to_owned()), &body, "SignatureMalformed"),
        (Some(header("whsec_other", now, &body)), &body, "SignatureInvalid"),
        (Some(good.clone()), &tampered, "SignatureInvalid"),
        (Some(good.replace("v1=", "v0=")), &body, "SignatureInvalid"),
        (Some(header(&stack.webhook_secret, now - 310, &body)), &body, "SignatureTimestampOutsideTolerance"),
        (Some(header(&stack.webhook_secret, now + 310, &body)), &body, "SignatureTimestampOutsideTolerance"),
    ];
    for (signature, body, expected) in cases {
        let (status, answer) = http.post(&stack, signature.as_deref(), body).await;
        assert_eq!((status, answer["error"]["type"].as_str()), (400, Some(expected)), "{answer}");
    }
    let large = vec![b' '; 1024 * 1024 + 1];
    assert_eq!(http.deliver(&stack, &large).await.0, 413);
    assert_eq!(http.send(Method::GET, &stack.webhook_url(), &[], b"").await.0, 405);
    assert_eq!(inbox(&stack).await, 0);
    assert_eq!(http.post(&stack, Some(&good), &body).await.0, 200);
    assert_eq!(inbox(&stack).await, 1);
}

#[tokio::test]
async fn what_is_proven_is_kept_whatever_it_is() {
    let stack = Stack::builder().functions(["webhook"]).start().await.expect("a stack");
    let http = Http::new();
    let charge = json!({"id": "ch_1", "object": "charge", "amount": "much", "captured": true, "created": 1,
        "currency": "eur", "status": "succeeded"});
    let mut live = event("evt_live", "customer.created", &customer("cus_9", "Live"));
    live = String::from_utf8(live).expect("text").replace("\"livemode\": false", "\"livemode\": true").into();
    let connected = event("evt_connected", "customer.created", &customer("cus_8", "Connected"));
    let connected = String::from_utf8(connected).expect("text").replacen('{', "{\"account\": \"acct_1\",", 1);
    let thin = br#"{"id":"evt_thin","object":"v2.core.event","type":"v1.billing.meter.no_meter_found","livemode":false,
        "created":"2026-11-01T00:00:00.000Z"}"#;
    let deep = format!(
        "{{\"id\":\"evt_deep\",\"type\":\"charge.updated\",\"livemode\":false,\"created\":1,\"data\":{{\"object\":{}{}}}}}",
        "[".repeat(50_000),
        "]".repeat(50_000)
    );
    let cases: [(&[u8], &str, &str); 10] = [
        (&event("evt_unknown", "sun.rose", &json!({})), "evt_unknown", "ignored"),
        (&event("evt_wrong", "charge.succeeded", &charge), "evt_wrong", "failed"),
        (&event("evt_empty", "customer.created", &json!({})), "evt_empty", "failed"),
        (&live, "evt_live", "ignored"),
        (connected.as_bytes(), "evt_connected", "ignored"),
        (thin, "evt_thin", "ignored"),
        (deep.as_bytes(), "evt_deep", "failed"),
        (&event("evt_nul", "customer.created", &customer("cus_2", "nul \0 in it")), "evt_nul", "applied"),
        (b"not json at all", "unreadable_", "failed"),
        (b"\xff\xfe\x00 not even text", "unreadable_", "failed"),
    ];
    for (body, id, expected) in cases {
        let (status, answer) = http.deliver(&stack, body).await;
        assert_eq!((status, answer["outcome"].as_str()), (200, Some(expected)), "{answer}");
        let kept_id = answer["event"].as_str().expect("an id");
        assert!(kept_id.starts_with(id), "{kept_id}");
        let kept: (Option<String>, Option<Vec<u8>>) =
            sqlx::query_as("select payload, payload_raw from recoup.webhook_events where id = $1")
                .bind(kept_id)
                .fetch_one(&stack.pool)
                .await
                .expect("kept");
        let kept = kept.0.map(String::into_bytes).or(kept.1).expect("a payload");
        assert_eq!(Bytes::from(kept), Bytes::copy_from_slice(body), "kept to the byte");
    }
    let (_, reason) = status_of(&stack, "evt_wrong").await;
    assert_eq!(reason.as_deref(), Some("data.object.amount: invalid type: string …, expected i64"));
    assert_eq!(count(&stack, "select count(*) from recoup.customers").await, 1);
}

#[tokio::test]
async fn fifty_deliveries_of_one_event_make_one_effect() {
    let stack = Stack::builder().functions(["webhook"]).start().await.expect("a stack");
    let http = Http::new();
    let session = json!({
        "id": "cs_1", "object": "checkout.session", "payment_status": "paid", "mode": "payment", "currency": "eur",
        "amount_total": 4900, "amount_subtotal": 4900, "payment_intent": "pi_1", "created": unix_now(),
        "customer_details": {"email": "ada@example.com", "name": "Ada"},
        "metadata": {"recoup_items": r#"[{"kind":"ticket","ref":"conf","quantity":3,"amount":4000},
            {"kind":"credits","ref":"reviews","quantity":5,"amount":900}]"#},
    });
    let body = event("evt_once", "checkout.session.completed", &session);
    let answers = futures::future::join_all((0..50).map(|_| http.deliver(&stack, &body))).await;
    let outcomes = |wanted: &str| answers.iter().filter(|(_, answer)| answer["outcome"] == wanted).count();
    assert!(answers.iter().all(|(status, _)| matches!(status, 200 | 503)), "{answers:?}");
    assert_eq!(outcomes("applied"), 1, "{answers:?}");
    assert_eq!(inbox(&stack).await, 1);
    assert_eq!(count(&stack, "select count(*) from recoup.orders where status = 'paid'").await, 1);
    assert_eq!(count(&stack, "select count(*) from recoup.tickets").await, 3);
    assert_eq!(count(&stack, "select balance from recoup.credit_balances").await, 5);
}

#[tokio::test]
async fn a_failed_event_is_tried_again_and_dies_after_the_fourth_failure() {
    let stack = Stack::builder().functions(["webhook"]).start().await.expect("a stack");
    let http = Http::new();
    let broken = event("evt_broken", "refund.created", &json!({"id": "re_1"}));
    for expected in ["failed", "failed", "failed", "dead"] {
        assert_eq!(http.deliver(&stack, &broken).await.1["outcome"], expected);
    }
    assert_eq!(http.deliver(&stack, &broken).await.1["outcome"], "duplicate");
    // A line that grants more seats than any hall has is a mistake of the catalogue, not a loop.
    let session = json!({
        "id": "cs_1", "payment_status": "paid", "currency": "eur", "amount_total": 1, "created": unix_now(),
        "customer": "cus_1",
        "metadata": {"recoup_items": r#"[{"kind":"ticket","ref":"conf","quantity":999999}]"#},
    });
    let body = event("evt_hall", "checkout.session.completed", &session);
    assert_eq!(http.deliver(&stack, &body).await.1["outcome"], "failed");
    let (_, reason) = status_of(&stack, "evt_hall").await;
    assert_eq!(reason.as_deref(), Some("the rows refuse it: constraint tickets_seat_bound"));
    assert_eq!(count(&stack, "select count(*) from recoup.orders").await, 0);
}

#[tokio::test]
async fn health_names_the_part_that_fails() {
    let stack = Stack::builder().functions(["webhook"]).start().await.expect("a stack");
    let http = Http::new();
    let (status, answer) = http.send(Method::GET, &stack.health_url(), &[], b"").await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        (&answer["status"], &answer["db"], &answer["stripe"]),
        (&json!("ok"), &json!("connected"), &json!("configured"))
    );

    sqlx::query("alter schema recoup rename to lost").execute(&stack.pool).await.expect("renamed");
    let (status, answer) = http.send(Method::GET, &stack.health_url(), &[], b"").await;
    assert_eq!((status, answer["db"].as_str()), (503, Some("SchemaMissing")), "{answer}");
    let body = event("evt_1", "customer.created", &customer("cus_1", "Ada"));
    assert_eq!(http.deliver(&stack, &body).await.0, 503);
    sqlx::query("alter schema lost rename to recoup").execute(&stack.pool).await.expect("renamed");
    assert_eq!(http.deliver(&stack, &body).await.0, 200);
}

#[tokio::test]
async fn a_database_that_is_down_is_503_and_then_forgotten() {
    let stack = Stack::builder().functions(["webhook"]).start().await.expect("a stack");
    let http = Http::new();
    let body = event("evt_1", "customer.created", &customer("cus_1", "Ada"));
    let name =
        stack.database_url.rsplit('/').next().expect("a name").split('?').next().expect("a name").to_owned();
    let admin = sqlx::PgPool::connect(stack.postgres.url()).await.expect("admin");
    assert_eq!(
        http.deliver(&stack, &event("evt_0", "customer.created", &customer("cus_0", "Bo"))).await.0,
        200
    );
    let block = |allowed: bool| format!("alter database {name} allow_connections {allowed}");
    let end = format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'");
    sqlx::query(sqlx::AssertSqlSafe(block(false))).execute(&admin).await.expect("blocked");
    sqlx::query(sqlx::AssertSqlSafe(end)).execute(&admin).await.expect("ended");
    let started = std::time::Instant::now();
    let (status, answer) = http.deliver(&stack, &body).await;
    assert_eq!((status, answer["error"]["type"].as_str()), (503, Some("DatabaseUnavailable")), "{answer}");
    assert!(started.elapsed().as_secs() < 10, "fast");
    sqlx::query(sqlx::AssertSqlSafe(block(true))).execute(&admin).await.expect("allowed");
    assert_eq!(http.deliver(&stack, &body).await.0, 200);
    assert_eq!(inbox(&stack).await, 2);
}

#[tokio::test]
async fn any_order_of_deliveries_ends_in_the_same_rows() {
    let stack = eager().functions(["webhook"]).start().await.expect("a stack");
    let mut shop = Shop::open(&stack.stripe, 7).expect("a shop");
    sell(&stack, &mut shop, 60).await;
    let expected = records_of(&stack).await;
    let failed = "select count(*) from recoup.webhook_events where status in ('failed', 'dead')";
    assert_eq!(count(&stack, failed).await, 0);
    assert_eq!(count(&stack, "select count(*) from recoup.order_items where grants_kind is null").await, 0);

    for seed in 0..2 {
        let again = eager().functions(["webhook"]).start().await.expect("a stack");
        let mut events = stack.stripe.events();
        events.extend(stack.stripe.events().into_iter().step_by(5));
        events.shuffle(&mut StdRng::seed_from_u64(seed));
        deliver_all(&stack, &again, &events, 8).await;
        let found = records_of(&again).await;
        assert_eq!(expected.differences(&found), Vec::<String>::new());
        assert_eq!(expected.money, found.money);
        assert_eq!(count(&again, failed).await, 0);
    }
    stack.stripe.faults(shuffled());
    sell(&stack, &mut shop, 30).await;
    assert_eq!(count(&stack, failed).await, 0);
}

/// Delivers events of one stack's Stripe to another stack, so many at a time, each with Stripe's habit: again
/// until it is answered with 2xx.
pub async fn deliver_all(from: &Stack, to: &Stack, events: &[Value], at_a_time: usize) {
    // The lines of sessions are asked of the Stripe that knows them.
    let api_base = from.stripe.api_base();
    let change = |config: &mut FunctionConfig| {
        config.environment.insert("STRIPE_API_BASE".to_owned(), api_base);
    };
    to.lambda.configure("webhook", change).expect("configured");
    let http = &Http::new();
    futures::stream::iter(events)
        .for_each_concurrent(at_a_time, |event| async move {
            let body = serde_json::to_vec_pretty(event).expect("json");
            while http.deliver(to, &body).await.0 != 200 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
}
