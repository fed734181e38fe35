//! What is asked wrongly, or of secrets that are not as they should be.

use serde_json::{Value, json};
use stack::Stack;

use super::arena::{STEPS, act, event, metrics, refused, step, stepped, token};
use crate::support::{eager, failed};

async fn stack() -> Stack {
    eager().functions(["webhook", "rotate"]).start().await.expect("a stack")
}

#[tokio::test]
async fn a_secret_that_is_not_ours_or_not_filled_or_wrong_is_named() {
    let stack = stack().await;
    // One that its role may not even look at.
    stack.secrets.put("somebody-elses", &json!({"password": "hunter2"})).await.expect("put");
    let reply = step(&stack, "somebody-elses", "createSecret", &token()).await;
    assert_eq!(failed(&reply), "SecretUnavailable");
    assert_eq!(stack.take_denied().iter().map(|denied| &*denied.function).next(), Some("rotate"));
    // One that it may look at, and that none of its variables names for a rotation; and one that is not there.
    stack.secrets.put("database-admin", &json!({"password": "hunter2"})).await.expect("put");
    let reply = step(&stack, "database-admin", "createSecret", &token()).await;
    assert_eq!(failed(&reply), "SecretNotKnown");
    let reply = step(&stack, "pooler", "createSecret", &token()).await;
    assert_eq!(failed(&reply), "SecretMissing");

    // As the stack makes them, and as somebody mistypes them.
    for (secret, unfilled, wrong) in [
        ("database", json!({"url": ""}), json!({"url": "hunter2"})),
        ("stripe-webhook", json!({"endpoints": {}}), json!({"endpoints": {"platform": "hunter2"}})),
        ("backup-key", json!({"identities": []}), json!({"identities": ["hunter2"]})),
        ("stripe-api", json!({"api_key": ""}), json!({"key": "hunter2", "pending_api_key": "hunter2"})),
    ] {
        let good = stack.secrets.get(secret).await.expect("a value");
        stack.secrets.put(secret, &unfilled).await.expect("put");
        let (kind, message) = refused(&stack, secret, "createSecret", &token()).await;
        assert_eq!(kind, "SecretNotFilled", "{message}");
        // Secrets Manager tries testSecret with a copy when the stack sets its rotation up: no alarm for that.
        let copy = token();
        stack.secrets.put_pending(secret, &copy, &unfilled).await.expect("put");
        assert_eq!(stepped(&stack, secret, "testSecret", &copy).await, "not_filled");
        withdraw(&stack, secret, &copy).await;

        stack.secrets.put(secret, &wrong).await.expect("put");
        let token = token();
        let mut reply = step(&stack, secret, "createSecret", &token).await;
        if reply.function_error.is_none() {
            reply = step(&stack, secret, "testSecret", &token).await;
        }
        let expected = if secret == "database" { "DatabaseUrlInvalid" } else { "SecretInvalid" };
        assert_eq!(failed(&reply), expected, "{secret}");
        assert!(!reply.payload.to_string().contains("hunter2"), "{}", reply.payload);
        let kind = secret.replace('-', "_").replace("api", "api_key");
        act(&stack, json!({"action": "abandon", "secret": kind})).await;

        stack.secrets.put(secret, &good).await.expect("put");
        let copy = super::arena::token();
        stack.secrets.put_pending(secret, &copy, &good).await.expect("put");
        assert_eq!(stepped(&stack, secret, "testSecret", &copy).await, "done", "a copy of what works works");
        withdraw(&stack, secret, &copy).await;
    }
    // Text that is no JSON at all.
    stack
        .secrets
        .put("database", &Value::String("postgres://shop:hunter2@h/d".to_owned()))
        .await
        .expect("put");
    let (kind, message) = refused(&stack, "database", "createSecret", &token()).await;
    assert!(kind == "SecretInvalid" && !message.contains("hunter2"), "{message}");
}

async fn withdraw(stack: &Stack, secret: &str, version: &str) {
    let request = stack.secrets.client().update_secret_version_stage().secret_id(stack.secrets.id(secret));
    request.version_stage("AWSPENDING").remove_from_version_id(version).send().await.expect("withdrawn");
}

#[tokio::test]
async fn steps_out_of_order_and_rotations_beside_each_other_change_nothing() {
    let stack = stack().await;
    for secret in ["stripe-webhook", "backup-key"] {
        for name in &STEPS[1..] {
            let (kind, message) = refused(&stack, secret, name, &token()).await;
            assert_eq!(kind, "RotationSuperseded", "{message}");
        }
        let (first, second) = (token(), token());
        stepped(&stack, secret, "createSecret", &first).await;
        let (kind, message) = refused(&stack, secret, "createSecret", &second).await;
        assert_eq!(kind, "RotationUnderWay", "{message}");
        // The first goes on as if nothing had been.
        for name in STEPS {
            stepped(&stack, secret, name, &first).await;
        }
        for name in STEPS {
            assert_eq!(stepped(&stack, secret, name, &first).await, "already_done", "{name}");
        }
        super::arena::patient(&stack);
        // And its late messenger does not bring it back after the second.
        for name in STEPS {
            stepped(&stack, secret, name, &second).await;
        }
        let (kind, _) = refused(&stack, secret, "finishSecret", &first).await;
        assert_eq!(kind, "RotationSuperseded");
    }
}

#[tokio::test]
async fn two_at_once_make_one_new_value() {
    let stack = stack().await;
    for secret in ["stripe-webhook", "backup-key"] {
        let token = token();
        let payload = event(&stack, secret, "createSecret", &token);
        let (one, other) =
            tokio::join!(stack.lambda.invoke("rotate", &payload), stack.lambda.invoke("rotate", &payload));
        for reply in [one.expect("invoked"), other.expect("invoked")] {
            assert!(reply.function_error.is_none(), "{}", reply.payload);
        }
        for name in &STEPS[1..] {
            stepped(&stack, secret, name, &token).await;
        }
    }
    let list = stack.stripe.request("GET", "/v1/webhook_endpoints", "limit=100").expect("a list");
    assert_eq!(list["data"].as_array().map(Vec::len), Some(4), "two made once");
}

#[tokio::test]
async fn a_failure_is_counted_and_a_look_is_not() {
    let stack = stack().await;
    act(&stack, json!({"action": "status"})).await;
    act(&stack, json!({"action": "finish_overlap"})).await;
    assert_eq!((metrics(&stack, "Rotations"), metrics(&stack, "RotationsFailed")), (0, 0));
    act(&stack, json!({"action": "rotate", "secret": "backup_key"})).await;
    assert_eq!((metrics(&stack, "Rotations"), metrics(&stack, "RotationsFailed")), (1, 0));
    let reply = stack
        .invoke("rotate", json!({"action": "rotate", "secret": "stripe_api_key"}))
        .await
        .expect("invoked");
    assert_eq!(failed(&reply), "StripeKeyNotPending");
    assert_eq!((metrics(&stack, "Rotations"), metrics(&stack, "RotationsFailed")), (1, 1));
}
