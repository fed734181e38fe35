//! What waits for another try: events that failed, objects whose order is open; and a person who asks.

use serde_json::{Value, json};
use stack::Stack;
use stack::shop::Shop;
use stack::stripe::RateLimit;

use crate::http::{Http, unix_now};
use crate::support::{count, eager, failed, settle, succeeded};

fn event(id: &str, kind: &str, created: i64, object: &Value) -> Vec<u8> {
    json!({
        "id": id, "object": "event", "api_version": "2026-09-30.endive", "created": created, "type": kind,
        "livemode": false, "data": {"object": object},
    })
    .to_string()
    .into_bytes()
}

async fn due_now(stack: &Stack) {
    sqlx::query("update recoup.webhook_events set next_attempt_at = now() where status = 'failed'")
        .execute(&stack.pool)
        .await
        .expect("put forward");
}

async fn retry(stack: &Stack) -> Value {
    let request = json!({"action": "retry", "dry_run": false});
    succeeded(stack.invoke("reconcile", request).await.expect("invoked"))
}

#[tokio::test]
async fn a_failed_event_is_tried_three_times_and_then_waits_for_a_person() {
    let stack = eager().functions(["webhook", "reconcile"]).start().await.expect("a stack");
    let http = Http::new();
    // More seats than any hall has: the rows refuse it, until the bound is another.
    let session = json!({
        "id": "cs_1", "payment_status": "paid", "currency": "eur", "amount_total": 1, "customer": "cus_1",
        "metadata": {"recoup_items": r#"[{"kind":"ticket","ref":"conf","quantity":10001}]"#},
    });
    let body = event("evt_hall", "checkout.session.completed", unix_now(), &session);
    assert_eq!(http.deliver(&stack, &body).await.1["outcome"], "failed");

    assert_eq!(retry(&stack).await["due"], 0, "a minute has to pass");
    due_now(&stack).await;
    let dry = succeeded(stack.invoke("reconcile", json!({"action": "retry"})).await.expect("invoked"));
    assert_eq!((&dry["due"], &dry["failed"], &dry["dry_run"]), (&json!(1), &json!(0), &json!(true)));
    for (expected, minutes) in [("failed", Some(5)), ("failed", Some(25)), ("dead", None)] {
        due_now(&stack).await;
        let reply = retry(&stack).await;
        assert_eq!(reply["events"][0]["outcome"], expected, "{reply}");
        let wait: Option<i64> = sqlx::query_scalar(
            "select ceil(extract(epoch from next_attempt_at - now()) / 60)::bigint from recoup.webhook_events",
        )
        .fetch_one(&stack.pool)
        .await
        .expect("a time");
        assert_eq!(wait, minutes);
    }
    due_now(&stack).await;
    assert_eq!(retry(&stack).await["due"], 0, "a dead event is left alone");

    sqlx::query("alter table recoup.tickets drop constraint tickets_seat_bound")
        .execute(&stack.pool)
        .await
        .expect("a greater hall");
    let nobody = json!({"action": "retry", "event_id": "evt_hall", "dry_run": false});
    assert_eq!(failed(&stack.invoke("reconcile", nobody).await.expect("invoked")), "InvalidRequest");
    let mut asked =
        json!({"action": "retry", "event_id": "evt_hall", "actor": "ada", "reason": "a greater hall"});
    let dry = succeeded(stack.invoke("reconcile", asked.clone()).await.expect("invoked"));
    assert_eq!((&dry["events"][0]["outcome"], &dry["dry_run"]), (&json!("dead"), &json!(true)), "{dry}");
    assert_eq!(count(&stack, "select count(*) from recoup.audit_log").await, 0);
    asked["dry_run"] = json!(false);
    let real = succeeded(stack.invoke("reconcile", asked.clone()).await.expect("invoked"));
    assert_eq!(real["applied"], 1, "{real}");
    assert_eq!(count(&stack, "select count(*) from recoup.tickets").await, 10_001);
    let audited = "select count(*) from recoup.audit_log where actor = 'ada' and reason = 'a greater hall'
        and before->>'status' = 'dead'";
    assert_eq!(count(&stack, audited).await, 1);
    assert_eq!(failed(&stack.invoke("reconcile", asked.clone()).await.expect("invoked")), "EventSettled");
    asked["event_id"] = json!("evt_none");
    assert_eq!(failed(&stack.invoke("reconcile", asked).await.expect("invoked")), "EventNotFound");
}

#[tokio::test]
async fn lines_that_stripe_did_not_give_in_time_come_with_the_retry_and_two_at_once_are_harmless() {
    let stack = eager().functions(["webhook", "reconcile"]).start().await.expect("a stack");
    let mut shop = Shop::open(&stack.stripe, 3).expect("a shop");
    settle(&stack).await;
    stack.stripe.pause_deliveries();
    shop.sell(12).expect("sales");
    let refusal = RateLimit { per_second: 0, per_endpoint: None };
    stack.stripe.set_rate_limit(Some(refusal));
    stack.stripe.resume_deliveries();
    settle(&stack).await;
    stack.stripe.set_rate_limit(None);
    let failed = "select count(*) from recoup.webhook_events where status = 'failed'";
    let waiting = count(&stack, failed).await;
    assert!(waiting > 5, "{waiting} events wait for their lines");
    due_now(&stack).await;
    let (one, other) = tokio::join!(retry(&stack), retry(&stack));
    let applied = |reply: &Value| reply["applied"].as_i64().expect("a count");
    assert_eq!(applied(&one) + applied(&other), waiting, "{one} {other}");
    assert_eq!(count(&stack, failed).await, 0);
    let again = "select count(*) from recoup.webhook_events where attempts > 2";
    assert_eq!(count(&stack, again).await, 0, "none was tried by both");
    let unmapped = "select count(*) from recoup.order_items where grants_kind is null";
    assert_eq!(count(&stack, unmapped).await, 0);
}

#[tokio::test]
async fn an_object_whose_events_do_not_tell_is_asked_of_stripe() {
    let stack = eager().functions(["webhook", "reconcile"]).start().await.expect("a stack");
    let customer = stack.stripe.request("POST", "/v1/customers", "name=ada").expect("a customer");
    settle(&stack).await;
    let id = customer["id"].as_str().expect("an id");
    let http = Http::new();
    let second = unix_now() + 60;
    let named = |name: &str| {
        let mut object = customer.clone();
        object["name"] = json!(name);
        object
    };
    // Neither says what it changed.
    for (event_id, name) in [("evt_a", "bob"), ("evt_b", "cyd")] {
        let body = event(event_id, "customer.updated", second, &named(name));
        assert_eq!(http.deliver(&stack, &body).await.1["outcome"], "applied");
    }
    let marked = "select count(*) from recoup.customers where needs_refetch";
    assert_eq!(count(&stack, marked).await, 1);
    stack.stripe.request("POST", &format!("/v1/customers/{id}"), "name=dan").expect("renamed");
    settle(&stack).await;
    let reply = retry(&stack).await;
    assert_eq!((&reply["marked"], &reply["refetched"]), (&json!(1), &json!(1)), "{reply}");
    assert_eq!(count(&stack, marked).await, 0);
    let name: String =
        sqlx::query_scalar("select name from recoup.customers").fetch_one(&stack.pool).await.expect("a name");
    assert_eq!(name, "dan");
    assert_eq!(
        count(&stack, "select count(*) from recoup.audit_log where action = 'refetch object'").await,
        1
    );
    // One that Stripe no longer has keeps what is known of it.
    let gone = json!({"id": "cus_gone", "object": "customer", "created": second, "name": "eve"});
    for event_id in ["evt_c", "evt_d"] {
        let mut gone = gone.clone();
        gone["name"] = json!(event_id);
        http.deliver(&stack, &event(event_id, "customer.updated", second, &gone)).await;
    }
    assert_eq!(retry(&stack).await["refetched"], 1);
    assert_eq!(count(&stack, marked).await, 0);
    assert_eq!(count(&stack, "select count(*) from recoup.customers").await, 2);
}

#[tokio::test]
async fn the_view_sums_up_the_day() {
    let stack = eager().functions(["webhook"]).start().await.expect("a stack");
    let http = Http::new();
    let customer = |id: &str| json!({"id": id, "object": "customer", "created": 1});
    for at in 0..3 {
        let id = format!("evt_{at}");
        http.deliver(
            &stack,
            &event(&id, "customer.created", unix_now(), &customer(&id.replace("evt", "cus"))),
        )
        .await;
    }
    http.deliver(&stack, &event("evt_bad", "customer.created", unix_now(), &json!({}))).await;
    http.deliver(&stack, &event("evt_sun", "sun.rose", unix_now(), &json!({}))).await;
    let row: Value =
        sqlx::query_scalar("select to_jsonb(s) from recoup.webhook_status as s where type is null")
            .fetch_one(&stack.pool)
            .await
            .expect("a row");
    let figures = ["received", "processed", "ignored", "failed", "dead"].map(|name| row[name].as_i64());
    assert_eq!(figures, [Some(5), Some(3), Some(1), Some(1), Some(0)], "{row}");
    assert_eq!(row["success_rate"].as_f64(), Some(0.75), "{row}");
    let (p50, p99) = (row["processing_p50_ms"].as_f64(), row["processing_p99_ms"].as_f64());
    assert!(p50 > Some(0.0) && p99 >= p50 && p99 < Some(10_000.0), "{row}");
    assert!(row["oldest_failed_at"].is_string(), "{row}");
}
