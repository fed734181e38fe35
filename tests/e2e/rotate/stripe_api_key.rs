//! The key for Stripe's API.

use serde_json::json;
use stack::Stack;
use stack::shop::Shop;

use super::arena::{act, assert_unlogged, refused, rotate_twice_each, step, stepped, token};
use crate::support::{eager, failed, sell, succeeded};

const NEW: &str = "rk_test_51RecoupStandInKeyNew000000000";

async fn stack() -> Stack {
    eager().functions(["webhook", "reconcile", "rotate"]).start().await.expect("a stack")
}

async fn pend(stack: &Stack, key: &str) -> String {
    let token = token();
    stack.secrets.put_pending("stripe-api", &token, &json!({"api_key": key})).await.expect("put");
    token
}

#[tokio::test]
async fn the_operators_key_is_proven_and_then_promoted() {
    let stack = stack().await;
    let mut shop = Shop::open(&stack.stripe, 1).expect("a shop");
    sell(&stack, &mut shop, 3).await;
    let old = stack.stripe.api_key();
    stack.stripe.add_api_key(NEW);
    let pending = pend(&stack, NEW).await;
    let reply = act(&stack, json!({"action": "rotate", "secret": "stripe_api_key"})).await;
    assert_eq!((&reply["version"], &reply["resumed"]), (&json!(pending), &json!(true)));
    assert_eq!(stack.secrets.get("stripe-api").await.expect("a value"), json!({"api_key": NEW}));

    // Only now the old one is revoked; everything goes on.
    stack.stripe.revoke_api_key(&old);
    sell(&stack, &mut shop, 3).await;
    succeeded(stack.invoke("reconcile", json!({"action": "events"})).await.expect("invoked"));
    assert_unlogged(&stack, &[NEW]);
}

#[tokio::test]
async fn secrets_manager_may_rotate_it_too_and_the_key_may_wait_beside_the_current_one() {
    let stack = stack().await;
    stack.stripe.add_api_key(NEW);
    let waiting = json!({"api_key": stack.stripe.api_key(), "pending_api_key": NEW, "note": "mine"});
    stack.secrets.put("stripe-api", &waiting).await.expect("put");
    rotate_twice_each(&stack, "stripe-api").await;
    assert_eq!(
        stack.secrets.get("stripe-api").await.expect("a value"),
        json!({"api_key": NEW, "note": "mine"})
    );
}

#[tokio::test]
async fn a_key_that_will_not_do_is_refused_by_name_and_the_current_one_stays() {
    let stack = stack().await;
    let (kind, message) = refused(&stack, "stripe-api", "createSecret", &token()).await;
    assert_eq!(kind, "StripeKeyNotPending", "{message}");
    assert!(message.contains("AWSPENDING"), "{message}");

    let current = stack.stripe.api_key();
    stack.stripe.add_key_of_other_account("sk_test_51OfSomebodyElse0000000000", "acct_1SomebodyElse");
    stack.stripe.add_restricted_key(
        "rk_test_51WithoutCharges00000000000",
        &[("GET", "/v1/charges"), ("GET", "/v1/payouts")],
    );
    for (key, expected, named) in [
        ("sk_live_51RecoupStandInKey0000000000", "StripeKeyOfOtherMode", "live mode"),
        ("sk_test_51OfSomebodyElse0000000000", "StripeKeyOfOtherAccount", "same Stripe account"),
        ("rk_test_51WithoutCharges00000000000", "StripeKeyLacksRights", "/v1/charges, /v1/payouts"),
        ("sk_test_51NobodyKnows000000000000000", "StripeKeyRefused", "pending"),
        ("pk_test_51RecoupStandInKey0000000000", "SecretInvalid", "sk_"),
    ] {
        let token = pend(&stack, key).await;
        for name in ["createSecret", "setSecret"] {
            stepped(&stack, "stripe-api", name, &token).await;
        }
        let (kind, message) = refused(&stack, "stripe-api", "testSecret", &token).await;
        assert_eq!(kind, expected, "{message}");
        assert!(message.contains(named), "{message}");
        assert!(!message.contains("RecoupStandInKey") && !message.contains("NobodyKnows"), "{message}");
    }
    let token = pend(&stack, &current).await;
    stepped(&stack, "stripe-api", "createSecret", &token).await;
    let (kind, message) = refused(&stack, "stripe-api", "setSecret", &token).await;
    assert_eq!(kind, "StripeKeyUnchanged", "{message}");
}

#[tokio::test]
async fn after_a_leak_the_old_key_may_be_dead_already() {
    let stack = stack().await;
    stack.stripe.add_restricted_key(NEW, &[("POST", "/v1/webhook_endpoints")]);
    stack.stripe.revoke_api_key(&stack.stripe.api_key());
    pend(&stack, NEW).await;
    let reply = act(&stack, json!({"action": "rotate", "secret": "stripe_api_key"})).await;
    assert!(reply["warnings"][0].as_str().expect("a warning").contains("may not write"), "{reply}");
    // The signing secret cannot be rotated with it, and says so.
    let reply = step(&stack, "stripe-webhook", "createSecret", &token()).await;
    assert_eq!(failed(&reply), "StripeKeyRefused");
}
