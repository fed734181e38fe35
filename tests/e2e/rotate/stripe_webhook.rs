//! The webhook's signing secret: a new endpoint at Stripe beside the old one.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use stack::Stack;
use stack::shop::Shop;
use stack::stripe::{ApiFault, AttemptOutcome};

use super::arena::{act, assert_unlogged, event, patient, refused, rotate_twice_each, step, stepped, token};
use crate::http::{Http, header, unix_now};
use crate::support::{count, eager, failed, sell, succeeded};

async fn stack() -> Stack {
    eager().functions(["webhook", "reconcile", "rotate"]).start().await.expect("a stack")
}

/// Every endpoint at Stripe.
fn endpoints(stack: &Stack) -> Vec<Value> {
    let list = stack.stripe.request("GET", "/v1/webhook_endpoints", "limit=100").expect("a list");
    list["data"].as_array().expect("data").clone()
}

fn ids(stack: &Stack) -> BTreeSet<String> {
    endpoints(stack).iter().map(|endpoint| endpoint["id"].as_str().expect("an id").to_owned()).collect()
}

async fn entry(stack: &Stack, name: &str) -> Value {
    stack.secrets.get("stripe-webhook").await.expect("a value")["endpoints"][name].clone()
}

/// Whether the webhook takes what is signed so.
async fn accepts(stack: &Stack, secret: &Value) -> bool {
    let header = header(secret.as_str().expect("a secret"), unix_now(), b"");
    let headers = [("stripe-signature", header.as_str())];
    let (_, answer) = Http::new().send(http::Method::GET, &stack.health_url(), &headers, b"").await;
    answer["signature"] == "accepted"
}

/// No delivery was refused by anyone.
fn assert_all_delivered(stack: &Stack) {
    for attempt in stack.stripe.delivery_log() {
        assert_eq!(attempt.outcome, AttemptOutcome::Answered(200), "{attempt:?}");
    }
}

#[tokio::test]
async fn a_new_endpoint_takes_over_and_the_old_one_goes_when_the_overlap_is_over() {
    let stack = stack().await;
    for id in ids(&stack) {
        let mut endpoint = stack.stripe.object(&id).expect("an endpoint");
        endpoint["metadata"] = json!({"team": "payments"});
        endpoint["description"] = json!("the shop & its tickets");
        stack.stripe.put(&endpoint);
    }
    let mut shop = Shop::open(&stack.stripe, 1).expect("a shop");
    sell(&stack, &mut shop, 2).await;
    let (before, olds) = (entry(&stack, "platform").await, ids(&stack));

    let token = rotate_twice_each(&stack, "stripe-webhook").await;
    let after = entry(&stack, "platform").await;
    assert_ne!(after["current"], before["current"]);
    assert_eq!(
        (&after["previous"], &after["previous_endpoint_id"]),
        (&before["current"], &before["endpoint_id"])
    );
    let news: Vec<Value> = endpoints(&stack)
        .into_iter()
        .filter(|new| !olds.contains(new["id"].as_str().expect("an id")))
        .collect();
    assert_eq!(news.len(), 2, "one for each entry");
    for new in &news {
        assert_eq!((&new["enabled_events"], &new["status"]), (&json!(["*"]), &json!("enabled")));
        assert_eq!(
            (&new["url"], &new["description"]),
            (&json!(stack.webhook_url()), &json!("the shop & its tickets"))
        );
        assert_eq!(
            (&new["metadata"]["team"], &new["metadata"]["recoup_rotation"]),
            (&json!("payments"), &json!(token))
        );
    }
    for secret in [&after["current"], &after["previous"]] {
        assert!(accepts(&stack, secret).await);
    }
    assert!(!accepts(&stack, &json!("whsec_forged")).await);

    // Both deliver; what comes twice counts once. Those of connected accounts come by their own.
    sell(&stack, &mut shop, 3).await;
    stack.stripe.account("acct_1Art").request("POST", "/v1/customers", "name=ada").expect("a customer");
    crate::support::settle(&stack).await;
    assert_all_delivered(&stack);
    let log = stack.stripe.delivery_log();
    for new in &news {
        assert!(log.iter().any(|attempt| *attempt.endpoint == *new["id"].as_str().expect("an id")), "{new}");
    }
    let events = stack.stripe.event_count() as i64;
    assert_eq!(
        count(&stack, "select count(*) from recoup.webhook_events where account is null").await,
        events
    );
    let checked = succeeded(stack.invoke("reconcile", json!({"action": "endpoint"})).await.expect("invoked"));
    assert_eq!(checked["drift"], false, "{checked}");

    let reply = act(&stack, json!({"action": "finish_overlap"})).await;
    assert_eq!(reply["endpoints_waiting"].as_array().map(Vec::len), Some(2), "{reply}");
    assert_eq!(ids(&stack).len(), 4);
    let reply = act(&stack, json!({"action": "finish_overlap", "overlap_hours": 0})).await;
    let gone: BTreeSet<String> = serde_json::from_value(reply["endpoints_deleted"].clone()).expect("ids");
    assert_eq!(gone, olds, "{reply}");
    assert_eq!(entry(&stack, "platform").await, after, "what was sent just now is still accepted");
    let reply = act(&stack, json!({"action": "finish_overlap"})).await;
    assert_eq!(reply["previous_dropped"], json!(["connect", "platform"]), "{reply}");
    let tidied = entry(&stack, "platform").await;
    assert_eq!((&tidied["current"], &tidied["previous"]), (&after["current"], &Value::Null));
    let reply = act(&stack, json!({"action": "finish_overlap"})).await;
    for list in ["endpoints_opened", "endpoints_deleted", "endpoints_waiting", "previous_dropped"] {
        assert_eq!(reply[list], json!([]), "{reply}");
    }
    sell(&stack, &mut shop, 2).await;
    assert_all_delivered(&stack);

    // And again, from there on.
    patient(&stack);
    rotate_twice_each(&stack, "stripe-webhook").await;
    sell(&stack, &mut shop, 2).await;
    assert_all_delivered(&stack);
    let last = entry(&stack, "platform").await;
    let secrets =
        [&before, &after, &last].map(|entry| entry["current"].as_str().expect("a secret").to_owned());
    assert_unlogged(&stack, &secrets.each_ref().map(String::as_str));
}

#[tokio::test]
async fn a_rotation_within_the_overlap_leaves_two_and_not_three() {
    let stack = stack().await;
    let mut shop = Shop::open(&stack.stripe, 1).expect("a shop");
    let first = entry(&stack, "platform").await;
    rotate_twice_each(&stack, "stripe-webhook").await;
    let second = entry(&stack, "platform").await;
    patient(&stack);
    rotate_twice_each(&stack, "stripe-webhook").await;
    let third = entry(&stack, "platform").await;
    assert_eq!((&third["previous"], ids(&stack).len()), (&second["current"], 4));
    assert!(!ids(&stack).contains(first["endpoint_id"].as_str().expect("an id")));
    sell(&stack, &mut shop, 2).await;
    assert_all_delivered(&stack);
}

#[tokio::test]
async fn nothing_is_delivered_under_a_secret_that_is_not_accepted_yet() {
    let stack = stack().await;
    let mut shop = Shop::open(&stack.stripe, 1).expect("a shop");
    let olds = ids(&stack);
    let token = token();
    for name in ["createSecret", "setSecret", "testSecret"] {
        stepped(&stack, "stripe-webhook", name, &token).await;
        sell(&stack, &mut shop, 1).await;
        let checked =
            succeeded(stack.invoke("reconcile", json!({"action": "endpoint"})).await.expect("invoked"));
        assert_eq!(checked["drift"], false, "one that is prepared is no drift: {checked}");
    }
    assert_eq!(ids(&stack).len(), 4);
    assert!(stack.stripe.delivery_log().iter().all(|attempt| olds.contains(&*attempt.endpoint)));
    assert_all_delivered(&stack);
}

#[tokio::test]
async fn an_endpoint_without_its_id_in_the_secret_is_found_by_its_url_or_asked_for() {
    let stack = stack().await;
    let secret =
        |entry: &Value| json!({"endpoints": {"platform": {"current": entry["current"], "previous": null}}});
    let (platform, connect) = (entry(&stack, "platform").await, entry(&stack, "connect").await);
    stack.secrets.put("stripe-webhook", &secret(&platform)).await.expect("put");
    let before = ids(&stack);
    let (kind, message) = refused(&stack, "stripe-webhook", "createSecret", &token()).await;
    assert_eq!((kind.as_str(), ids(&stack)), ("StripeEndpointAmbiguous", before), "{message}");
    assert!(message.contains("endpoint_id"), "{message}");

    let path = format!("/v1/webhook_endpoints/{}", connect["endpoint_id"].as_str().expect("an id"));
    stack.stripe.request("DELETE", &path, "").expect("deleted");
    rotate_twice_each(&stack, "stripe-webhook").await;
    assert_eq!(entry(&stack, "platform").await["previous_endpoint_id"], platform["endpoint_id"]);

    for id in ids(&stack) {
        stack.stripe.request("DELETE", &format!("/v1/webhook_endpoints/{id}"), "").expect("deleted");
    }
    let (kind, _) = refused(&stack, "stripe-webhook", "createSecret", &token()).await;
    assert_eq!(kind, "StripeEndpointMissing");
}

#[tokio::test]
async fn at_stripes_limit_nothing_is_left_half_made() {
    let stack = stack().await;
    // Room for one, where two are needed.
    let others: Vec<String> = (0..13)
        .map(|at| {
            stack.stripe.add_endpoint(&format!("https://other.example/{at}"), "whsec_other", &["payout.paid"])
        })
        .collect();
    let before = ids(&stack);
    let token = token();
    let (kind, message) = refused(&stack, "stripe-webhook", "createSecret", &token).await;
    assert_eq!(kind, "StripeEndpointLimit", "{message}");
    assert!(message.contains("16 webhook endpoints"), "{message}");
    assert_eq!(ids(&stack), before);
    assert_eq!(stack.secrets.version_at("stripe-webhook", "AWSPENDING").await.expect("versions"), None);

    // One less, and the same rotation goes on, although Stripe remembers its refusal.
    stack.stripe.request("DELETE", &format!("/v1/webhook_endpoints/{}", others[0]), "").expect("deleted");
    for name in super::arena::STEPS {
        stepped(&stack, "stripe-webhook", name, &token).await;
    }
    assert_eq!(ids(&stack).len(), 16);
    assert!(accepts(&stack, &entry(&stack, "platform").await["current"]).await);
}

#[tokio::test]
async fn a_death_between_stripes_answer_and_the_secret_leaves_no_endpoint_behind() {
    let stack = stack().await;
    for lost in [2, 4] {
        let before = ids(&stack);
        if lost > 2 {
            patient(&stack);
        }
        let token = token();
        // The lists before it pass; then Stripe does it and its answer is lost, and so is the function.
        let calls = stack.stripe.request_count();
        let dying = async {
            stack
                .lambda
                .invoke("rotate", &event(&stack, "stripe-webhook", "createSecret", &token))
                .await
                .expect("invoked")
        };
        let killer = async {
            while stack.stripe.request_count() < calls + lost {
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
            stack.stripe.fail_next(1, ApiFault::LostAnswer);
            let until = ids(&stack).len();
            for _ in 0..1_000 {
                if ids(&stack).len() > until {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            stack.lambda.kill("rotate").expect("killed");
        };
        let (reply, ()) = tokio::join!(dying, killer);
        assert!(reply.function_error.is_some(), "it was killed: {}", reply.payload);
        stack.stripe.heal();
        for name in super::arena::STEPS {
            stepped(&stack, "stripe-webhook", name, &token).await;
        }
        let made: Vec<Value> = endpoints(&stack)
            .into_iter()
            .filter(|one| one["metadata"]["recoup_rotation"] == json!(token))
            .collect();
        assert_eq!(made.len(), 2, "one for each entry: {made:?}");
        for name in ["platform", "connect"] {
            assert!(accepts(&stack, &entry(&stack, name).await["current"]).await);
        }
        assert_eq!(ids(&stack).len(), 4, "{before:?}");
    }
}

#[tokio::test]
async fn a_rotation_that_is_given_up_takes_its_endpoints_with_it() {
    let stack = stack().await;
    // Another stack of the same account is in the middle of one.
    let other = "url=https%3A%2F%2Fother.example%2Fwebhooks%2Fstripe&enabled_events[]=payout.paid&metadata[recoup_rotation]=other";
    stack.stripe.request("POST", "/v1/webhook_endpoints", other).expect("made");
    let before = ids(&stack);
    let current = entry(&stack, "platform").await;
    let (first, second) = (token(), token());
    stepped(&stack, "stripe-webhook", "createSecret", &first).await;
    assert_eq!(ids(&stack).len(), before.len() + 2);
    let (kind, message) = refused(&stack, "stripe-webhook", "createSecret", &second).await;
    assert_eq!(kind, "RotationUnderWay", "{message}");
    assert!(message.contains(&first) && message.contains("abandon"), "{message}");

    let reply = act(&stack, json!({"action": "abandon", "secret": "stripe_webhook"})).await;
    assert_eq!((&reply["status"], &reply["version"]), (&json!("completed"), &json!(first)));
    assert_eq!(reply["endpoints_deleted"].as_array().map(Vec::len), Some(2), "{reply}");
    assert_eq!((ids(&stack), entry(&stack, "platform").await), (before.clone(), current));
    let (kind, _) = refused(&stack, "stripe-webhook", "setSecret", &first).await;
    assert_eq!(kind, "RotationSuperseded");
    let reply = act(&stack, json!({"action": "abandon", "secret": "stripe_webhook"})).await;
    assert_eq!(reply["status"], "nothing_pending");

    // What a rotation left that Secrets Manager itself took the label from, the next one takes away.
    stepped(&stack, "stripe-webhook", "createSecret", &second).await;
    let third = token();
    stack.secrets.put_pending("stripe-webhook", &third, &json!({"endpoints": {}})).await.expect("put");
    act(&stack, json!({"action": "abandon", "secret": "stripe_webhook"})).await;
    assert_eq!(ids(&stack), before);
    rotate_twice_each(&stack, "stripe-webhook").await;
    assert_eq!(ids(&stack).len(), before.len() + 2);
}

#[tokio::test]
async fn a_webhook_that_does_not_answer_stops_the_rotation_and_the_old_endpoint_delivers_on() {
    let stack = stack().await;
    let mut shop = Shop::open(&stack.stripe, 1).expect("a shop");
    let token = token();
    for name in ["createSecret", "setSecret"] {
        stepped(&stack, "stripe-webhook", name, &token).await;
    }
    let secret_id = stack.secrets.id("stripe-webhook");
    let broken = |id: &str| {
        let id = id.to_owned();
        move |config: &mut stack::lambda::FunctionConfig| {
            config.environment.insert("STRIPE_WEBHOOK_SECRET_ID".to_owned(), id);
        }
    };
    stack.lambda.configure("webhook", broken("gone")).expect("configured");
    let (kind, message) = refused(&stack, "stripe-webhook", "testSecret", &token).await;
    assert_eq!(kind, "WebhookRefusesSecret", "{message}");
    stack.lambda.configure("webhook", broken(&secret_id)).expect("configured");
    stepped(&stack, "stripe-webhook", "testSecret", &token).await;

    // Promoted, and the webhook is gone before the new endpoint is open: it stays closed until the webhook knows it.
    stack.lambda.configure("webhook", broken("gone")).expect("configured");
    let reply = step(&stack, "stripe-webhook", "finishSecret", &token).await;
    assert_eq!(failed(&reply), "WebhookRefusesSecret");
    stack.lambda.configure("webhook", broken(&secret_id)).expect("configured");
    sell(&stack, &mut shop, 2).await;
    let olds = [entry(&stack, "platform").await, entry(&stack, "connect").await]
        .map(|entry| entry["previous_endpoint_id"].as_str().expect("an id").to_owned());
    assert!(stack.stripe.delivery_log().iter().all(|attempt| olds.contains(&attempt.endpoint.to_string())));
    assert_all_delivered(&stack);
    let denied = stack.take_denied();
    assert!(!denied.is_empty() && denied.iter().all(|denied| denied.resource.contains(":secret:gone-")));
    // The next hour finishes it, and counts the overlap from there.
    let reply = act(&stack, json!({"action": "finish_overlap"})).await;
    assert_eq!(reply["endpoints_opened"].as_array().map(Vec::len), Some(2), "{reply}");
    assert_eq!(reply["endpoints_waiting"].as_array().map(Vec::len), Some(2), "{reply}");
    sell(&stack, &mut shop, 2).await;
    assert_all_delivered(&stack);
    assert_eq!(stepped(&stack, "stripe-webhook", "finishSecret", &token).await, "already_done");

    // Without the new endpoint the old one must stay.
    let new = entry(&stack, "platform").await["endpoint_id"].as_str().expect("an id").to_owned();
    stack.stripe.request("POST", &format!("/v1/webhook_endpoints/{new}"), "disabled=true").expect("disabled");
    let before = ids(&stack);
    let reply = stack
        .invoke("rotate", json!({"action": "finish_overlap", "overlap_hours": 0}))
        .await
        .expect("invoked");
    assert_eq!(failed(&reply), "StripeEndpointMissing");
    assert!(
        ids(&stack)
            .contains(entry(&stack, "platform").await["previous_endpoint_id"].as_str().expect("an id")),
        "{before:?}"
    );
}
