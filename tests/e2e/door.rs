//! The webhook's door: secrets that are rotated while it runs, Stripe's EventBridge destination, its signals.

use serde_json::{Value, json};
use stack::Stack;
use stack::shop::Shop;
use stack::stripe::{Stripe, signature_header};

use crate::http::{Http, unix_now};
use crate::support::{count, eager, failed, sell, settle, succeeded};

fn customer_event(id: &str, email: &str) -> Value {
    json!({
        "id": id, "object": "event", "api_version": "2026-09-30.endive", "created": unix_now() - 5,
        "type": "customer.created", "livemode": false,
        "data": {"object": {"id": format!("cus_{id}"), "object": "customer", "created": 1, "email": email}},
    })
}

/// The events as Stripe's destination puts them on the bus.
fn on_the_bus(event: &Value) -> Value {
    json!({
        "version": "0", "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718", "detail-type": event["type"],
        "source": "aws.partner/stripe.com/ed_test_61abc", "account": "123456789012",
        "time": "2026-11-21T07:00:00Z", "region": "eu-central-1",
        "resources": ["arn:aws:events:eu-central-1::event-source/aws.partner/stripe.com/ed_test_61abc"],
        "detail": event,
    })
}

fn endpoint_of(stripe: &Stripe) -> String {
    let endpoints = stripe.request("GET", "/v1/webhook_endpoints", "").expect("a list");
    endpoints["data"][0]["id"].as_str().expect("an endpoint").to_owned()
}

async fn status_of(stack: &Stack, secret: &str, body: &[u8]) -> u16 {
    let header = signature_header(&[secret], unix_now(), body);
    Http::new().post(stack, Some(&header), body).await.0
}

#[tokio::test]
async fn a_signing_secret_is_rolled_while_it_runs() {
    let stack = eager().functions(["webhook"]).instances("webhook", 1).start().await.expect("a stack");
    let old = stack.webhook_secret.clone();
    let create = |email: &str| {
        let form = format!("email={email}");
        stack.stripe.request("POST", "/v1/customers", &form).expect("a customer");
    };
    create("before@example.com");
    settle(&stack).await;
    let instance = stack.lambda.pids("webhook").expect("pids");

    // The new secret is known to Secrets Manager, then to Stripe, which signs with both for a while.
    let secrets = json!({"endpoints": {
        "platform": {"current": "whsec_new", "previous": old},
        "connect": {"current": "whsec_connect", "previous": null},
    }});
    stack.secrets.put("stripe-webhook", &secrets).await.expect("put");
    stack.stripe.roll_secret(&endpoint_of(&stack.stripe), "whsec_new", false);
    create("after@example.com");
    settle(&stack).await;
    assert_eq!(
        stack.stripe.delivery_stats().failed_attempts,
        0,
        "the first request with it already succeeds"
    );
    let body = customer_event("evt_previous", "previous@example.com").to_string();
    assert_eq!(status_of(&stack, &old, body.as_bytes()).await, 200, "the previous one is accepted still");
    let body = customer_event("evt_connect", "connect@example.com").to_string();
    assert_eq!(status_of(&stack, "whsec_connect", body.as_bytes()).await, 200, "so is another endpoint's");
    assert_eq!(stack.lambda.pids("webhook").expect("pids"), instance, "without a restart");
    assert_eq!(count(&stack, "select count(*) from recoup.customers").await, 4);

    // Forgeries do not have the secret read again: within 30 seconds nothing is.
    stack
        .secrets
        .put("stripe-webhook", &json!({"endpoints": {"platform": {"current": "whsec_3"}}}))
        .await
        .expect("put");
    for _ in 0..20 {
        assert_eq!(status_of(&stack, "whsec_forged", body.as_bytes()).await, 400);
    }
    assert_eq!(status_of(&stack, "whsec_3", body.as_bytes()).await, 400);
    assert_eq!(status_of(&stack, "whsec_new", body.as_bytes()).await, 200);
}

#[tokio::test]
async fn a_database_login_is_rotated_while_it_runs() {
    let stack =
        Stack::builder().functions(["webhook"]).instances("webhook", 1).start().await.expect("a stack");
    let http = Http::new();
    let names = ["first", "second"].map(|name| format!("recoup_{name}_{:08x}", rand::random::<u32>()));
    let url_of = |name: &str| {
        let (scheme, rest) = stack.database_url.split_once("://").expect("a URL");
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        json!({"url": format!("{scheme}://{name}:secret@{host}")})
    };
    let run = async |statement: String| {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&stack.pool).await.expect("done");
    };
    for name in &names {
        run(format!("create role {name} login superuser password 'secret'")).await;
    }
    stack.secrets.put("database", &url_of(&names[0])).await.expect("put");
    let deliver = async |id: &str| {
        http.deliver(&stack, customer_event(id, "a@example.com").to_string().as_bytes()).await
    };
    assert_eq!(deliver("evt_1").await.0, 200);
    let instance = stack.lambda.pids("webhook").expect("pids");

    stack.secrets.put("database", &url_of(&names[1])).await.expect("put");
    run(format!("alter role {} nologin", names[0])).await;
    let end = "select pg_terminate_backend(pid) from pg_stat_activity where usename =";
    run(format!("{end} '{}'", names[0])).await;
    assert_eq!(deliver("evt_2").await.0, 200, "the secret is read again");
    assert_eq!(stack.lambda.pids("webhook").expect("pids"), instance, "without a restart");

    // A login that stays refused is a 503 with its name, and the secret is left alone for a while.
    run(format!("alter role {} nologin", names[1])).await;
    run(format!("{end} '{}'", names[1])).await;
    let (status, answer) = deliver("evt_3").await;
    assert_eq!((status, answer["error"]["type"].as_str()), (503, Some("DatabaseLoginRefused")), "{answer}");
    assert_eq!(count(&stack, "select count(*) from recoup.webhook_events").await, 2);
    for name in &names {
        run(format!("drop role {name}")).await;
    }
}

#[tokio::test]
async fn a_stripe_key_is_rotated_while_it_runs() {
    let stack = eager().functions(["webhook"]).instances("webhook", 1).start().await.expect("a stack");
    let mut shop = Shop::open(&stack.stripe, 3).expect("a shop");
    let first = stack.stripe.api_key();
    let roll = async |old: &str, new: &str| {
        stack.stripe.add_api_key(new);
        stack.stripe.revoke_api_key(old);
        stack.secrets.put("stripe-api", &json!({"api_key": new})).await.expect("put");
    };
    let unlined = "select count(*) from recoup.webhook_events
        where last_error like 'fetch line items: Stripe refused the API key sk_test_…% (401 Unauthorized, api_key_expired)%'";
    sell(&stack, &mut shop, 3).await;
    let instance = stack.lambda.pids("webhook").expect("pids");

    roll(&first, "sk_test_second").await;
    sell(&stack, &mut shop, 3).await;
    assert_eq!(
        count(&stack, unlined).await,
        0,
        "the secret is read again, and the lines asked for once more"
    );
    assert_eq!(
        count(&stack, "select count(*) from recoup.webhook_events where status <> 'processed'").await,
        0
    );
    assert!(count(&stack, "select count(*) from recoup.order_items").await > 3);

    // Within 30 seconds it is not read a second time: what lacks its lines is kept, and tried again later.
    roll("sk_test_second", "sk_test_third").await;
    let before = stack.stripe.request_count();
    sell(&stack, &mut shop, 2).await;
    let waiting = count(&stack, unlined).await;
    assert!(waiting > 0);
    assert_eq!(stack.stripe.request_count() - before, waiting as u64, "one request each");
    assert_eq!(stack.lambda.pids("webhook").expect("pids"), instance, "without a restart");
}

#[tokio::test]
async fn an_empty_secret_that_is_filled_needs_no_restart() {
    let stack =
        Stack::builder().functions(["webhook"]).instances("webhook", 1).start().await.expect("a stack");
    let good = stack.secrets.get("stripe-webhook").await.expect("the secret");
    stack.secrets.put("stripe-webhook", &json!({"endpoints": {}})).await.expect("put");
    let http = Http::new();
    let body = customer_event("evt_1", "a@example.com").to_string();
    let (status, answer) = http.deliver(&stack, body.as_bytes()).await;
    assert_eq!((status, answer["error"]["type"].as_str()), (503, Some("SecretInvalid")), "{answer}");
    stack.secrets.put("stripe-webhook", &good).await.expect("put");
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert_eq!(http.deliver(&stack, body.as_bytes()).await.0, 200);
}

#[tokio::test]
async fn an_event_of_eventbridge_goes_the_same_way() {
    let stack = Stack::builder().functions(["webhook"]).start().await.expect("a stack");
    let event = customer_event("evt_bus", "bus@example.com");
    let first = succeeded(stack.invoke("webhook", on_the_bus(&event)).await.expect("an answer"));
    assert!(first["body"].as_str().expect("a body").contains("applied"), "{first}");
    let kept: (String, String, String) =
        sqlx::query_as("select source, status, payload from recoup.webhook_events where id = 'evt_bus'")
            .fetch_one(&stack.pool)
            .await
            .expect("kept");
    assert_eq!(kept, ("eventbridge".to_owned(), "processed".to_owned(), event.to_string()), "to the byte");
    assert_eq!(
        count(&stack, "select count(*) from recoup.customers where email = 'bus@example.com'").await,
        1
    );
    assert_eq!(count(&stack, "select count(*) from recoup.audit_log").await, 0, "it is no repair");

    // The same event through the other door is a duplicate.
    let (_, answer) = Http::new().deliver(&stack, event.to_string().as_bytes()).await;
    assert_eq!(answer["outcome"], "duplicate");

    // What is not from Stripe's destination is not taken for it; what cannot be committed is an error.
    let mut other = on_the_bus(&customer_event("evt_other", "other@example.com"));
    other["source"] = json!("my.own.bus");
    assert_eq!(failed(&stack.invoke("webhook", other).await.expect("an answer")), "InvalidRequest");
    sqlx::query("alter schema recoup rename to lost").execute(&stack.pool).await.expect("renamed");
    let event = on_the_bus(&customer_event("evt_late", "late@example.com"));
    assert_eq!(failed(&stack.invoke("webhook", event.clone()).await.expect("an answer")), "SchemaMissing");
    sqlx::query("alter schema lost rename to recoup").execute(&stack.pool).await.expect("renamed");
    succeeded(stack.invoke("webhook", event).await.expect("an answer"));
    assert_eq!(count(&stack, "select count(*) from recoup.webhook_events").await, 2);
}

#[tokio::test]
async fn every_invocation_is_one_line_of_metrics() {
    let stack = Stack::builder()
        .functions(["webhook"])
        .env("webhook", "RECOUP_METRICS_NAMESPACE", "shop")
        .env("webhook", "RECOUP_METRICS_DIMENSIONS", "Stack=test")
        .env("webhook", "RUST_LOG", "trace")
        .start()
        .await
        .expect("a stack");
    let http = Http::new();
    let good = customer_event("evt_good", "planted@example.com").to_string();
    let strange = customer_event("evt_planted@example.com", "planted@example.com").to_string();
    let mut wrong = customer_event("evt_wrong", "planted@example.com");
    wrong["data"]["object"]["created"] = json!("planted@example.com");
    assert_eq!(http.deliver(&stack, good.as_bytes()).await.1["outcome"], "applied");
    assert_eq!(http.deliver(&stack, good.as_bytes()).await.1["outcome"], "duplicate");
    assert_eq!(http.deliver(&stack, strange.as_bytes()).await.0, 200);
    assert_eq!(http.deliver(&stack, wrong.to_string().as_bytes()).await.1["outcome"], "failed");
    assert_eq!(http.post(&stack, Some("t=1,v1=planted@example.com"), good.as_bytes()).await.0, 400);
    // What is written before the answer may be read after it.
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;

    let lines: Vec<String> =
        stack.lambda.logs("webhook").expect("logs").into_iter().map(|line| line.text).collect();
    let secrets = ["planted", "whsec_", "sk_test_", &stack.webhook_secret];
    for line in &lines {
        assert!(!secrets.iter().any(|secret| line.contains(secret)), "{line}");
    }
    let parsed: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("JSON: {line}")))
        .collect();
    let metrics: Vec<&Value> = parsed.iter().filter(|line| line.get("_aws").is_some()).collect();
    assert_eq!(metrics.len(), 5, "{lines:#?}");
    let total = |name: &str| metrics.iter().filter_map(|line| line[name].as_f64()).sum::<f64>();
    for (name, expected) in
        [("Received", 4.0), ("Applied", 2.0), ("Duplicate", 1.0), ("Failed", 1.0), ("Refused", 1.0)]
    {
        assert!((total(name) - expected).abs() < 1e-9, "{name}: {lines:#?}");
    }
    let first = metrics[0];
    assert_eq!((&first["event_id"], &first["event_type"]), (&json!("evt_good"), &json!("customer.created")));
    assert_eq!((&first["Function"], &first["Stack"]), (&json!("webhook"), &json!("test")));
    assert_eq!(first["_aws"]["CloudWatchMetrics"][0]["Namespace"], "shop");
    assert!(first["Latency"].as_f64().is_some_and(|ms| ms > 0.0), "{first}");
    assert!(first["AgeAtReceipt"].as_f64().is_some_and(|seconds| (5.0..60.0).contains(&seconds)), "{first}");
}
