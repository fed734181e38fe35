//! Endpoints that a broken rotation left at Stripe.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stack::Stack;

use super::arena::{act, stepped, token};
use crate::support::eager;

/// Makes an endpoint as a rotation does that ended before its secret was kept; gives its id.
fn left_behind(stack: &Stack, url: &str) -> String {
    let events = "enabled_events[]=terminal.reader.action_failed";
    let form = format!("url={url}&{events}&metadata[recoup_rotation]=broken");
    let made = stack.stripe.request("POST", "/v1/webhook_endpoints", &form).expect("made");
    made["id"].as_str().expect("an id").to_owned()
}

/// Every endpoint at Stripe.
fn ids(stack: &Stack) -> BTreeSet<String> {
    let list = stack.stripe.request("GET", "/v1/webhook_endpoints", "limit=100").expect("a list");
    let all = list["data"].as_array().expect("data").iter();
    all.map(|endpoint| endpoint["id"].as_str().expect("an id").to_owned()).collect()
}

/// Lets an hour and a little pass for an endpoint.
fn age(stack: &Stack, id: &str) {
    let mut endpoint = stack.stripe.object(id).expect("an endpoint");
    endpoint["created"] = json!(endpoint["created"].as_i64().expect("a time") - 3_700);
    stack.stripe.put(&endpoint);
}

async fn deleted(stack: &Stack) -> Value {
    act(stack, json!({"action": "finish_overlap"})).await["endpoints_deleted"].clone()
}

#[tokio::test]
async fn what_is_left_goes_by_the_hour_and_what_has_just_begun_stays() {
    let stack = eager().functions(["webhook", "rotate"]).start().await.expect("a stack");
    let (ours, others) = (
        left_behind(&stack, &stack.webhook_url()),
        left_behind(&stack, "https://other.example/webhooks/stripe"),
    );
    age(&stack, &others);
    // A rotation that has made it may be about to put it into the secret.
    assert_eq!(deleted(&stack).await, json!([]));
    age(&stack, &ours);
    assert_eq!(deleted(&stack).await, json!([ours]));
    assert!(ids(&stack).contains(&others), "another stack's");

    // One that waits for its next step is no orphan, however long it waits.
    let (before, token) = (ids(&stack), token());
    stepped(&stack, "stripe-webhook", "createSecret", &token).await;
    let made: Vec<String> = ids(&stack).difference(&before).cloned().collect();
    assert_eq!(made.len(), 2, "one for each entry");
    for id in &made {
        age(&stack, id);
    }
    assert_eq!(deleted(&stack).await, json!([]));
    for step in ["setSecret", "testSecret", "finishSecret"] {
        stepped(&stack, "stripe-webhook", step, &token).await;
    }
}

#[tokio::test]
async fn the_next_rotation_does_not_wait_for_the_hour() {
    let stack = eager().functions(["webhook", "rotate"]).start().await.expect("a stack");
    let (ours, others) = (
        left_behind(&stack, &stack.webhook_url()),
        left_behind(&stack, "https://other.example/webhooks/stripe"),
    );
    stepped(&stack, "stripe-webhook", "createSecret", &token()).await;
    let left = ids(&stack);
    assert!(!left.contains(&ours) && left.contains(&others), "{left:?}");
}
