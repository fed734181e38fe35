//! Deaths in each step, at whatever moment: the step is asked for again, as Secrets Manager does, and all ends well.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use stack::Stack;
use stack::shop::Shop;
use stack::stripe::AttemptOutcome;

use super::arena::{Guarded, STEPS, act, event, login, patient, stepped, token};
use crate::support::{sell, succeeded};

/// Deaths in each step.
const KILLS: u32 = 6;

/// One rotation, in each of whose steps the function is killed, some of the times after it is through.
async fn rotate_dying(stack: &Stack, secret: &str, random: &mut StdRng) {
    let token = token();
    for name in STEPS {
        let payload = event(stack, secret, name, &token);
        // How long the step takes here and now.
        for _ in 0..KILLS {
            let wait = Duration::from_micros(random.random_range(0..60_000));
            let dying = stack.lambda.invoke("rotate", &payload);
            let killer = async {
                tokio::time::sleep(wait).await;
                stack.lambda.kill("rotate").expect("killed");
            };
            let (reply, ()) = tokio::join!(dying, killer);
            let reply = reply.expect("invoked");
            let ended = reply.function_error.is_none()
                || reply.payload["errorType"].as_str().is_some_and(|kind| kind.starts_with("Runtime."));
            assert!(ended, "{name}: {}", reply.payload);
        }
        stepped(stack, secret, name, &token).await;
    }
    assert_eq!(stack.secrets.version_at(secret, "AWSCURRENT").await.expect("versions"), Some(token));
    assert_eq!(stack.secrets.version_at(secret, "AWSPENDING").await.expect("versions"), None);
}

#[tokio::test]
async fn every_kind_survives_deaths_in_every_step() {
    let guarded = Guarded::start(None, "superuser").await;
    let stack =
        guarded.stack().functions(["webhook", "backup", "verify", "rotate"]).start().await.expect("a stack");
    let mut shop = Shop::open(&stack.stripe, 1).expect("a shop");
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for turn in 0..2 {
        if turn > 0 {
            patient(&stack);
        }
        for secret in ["database", "stripe-webhook", "backup-key", "stripe-api"] {
            if secret == "stripe-api" {
                let key = format!("sk_test_51RecoupStandInKeyOfTurn{turn}0000");
                stack.stripe.add_api_key(&key);
                let mut value = stack.secrets.get(secret).await.expect("a value");
                value["pending_api_key"] = json!(key);
                stack.secrets.put(secret, &value).await.expect("put");
            }
            rotate_dying(&stack, secret, &mut random).await;
            sell(&stack, &mut shop, 2).await;
        }
        let endpoints = stack.stripe.request("GET", "/v1/webhook_endpoints", "limit=100").expect("a list");
        assert_eq!(endpoints["data"].as_array().map(Vec::len), Some(4), "none is left behind");
    }
    assert_eq!(login(&stack, "database").await.0, "shop");
    let users = "select count(*)::text from pg_roles where rolname like 'shop%'";
    assert_eq!(guarded.text(users).await.as_deref(), Some("2"));
    let identities =
        stack.secrets.get("backup-key").await.expect("a value")["identities"].as_array().map(Vec::len);
    assert_eq!(identities, Some(3));
    for attempt in stack.stripe.delivery_log() {
        assert_eq!(attempt.outcome, AttemptOutcome::Answered(200), "{attempt:?}");
    }
    succeeded(stack.invoke("backup", json!({"backup_type": "full"})).await.expect("invoked"));
    succeeded(stack.invoke("verify", json!({"action": "full"})).await.expect("invoked"));
    act(&stack, json!({"action": "finish_overlap", "overlap_hours": 0})).await;
}
