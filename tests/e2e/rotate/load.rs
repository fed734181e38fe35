//! Rotations under steady load: no delivery is refused, no invocation fails.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use stack::Stack;
use stack::shop::Shop;
use stack::stripe::AttemptOutcome;

use super::arena::{Guarded, act, login, patient};
use crate::http::{Http, header, unix_now};
use crate::support::{PATIENCE, settle, succeeded};

/// Sells until it is told to stop, and lets backup, verify and reconcile run beside it.
async fn business(stack: &Stack, shop: &mut Shop, over: &AtomicBool) {
    let selling = async {
        while !over.load(Ordering::Relaxed) {
            shop.sell(1).expect("sales");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let working = async {
        while !over.load(Ordering::Relaxed) {
            for (function, payload) in [
                ("backup", json!({"backup_type": "changes"})),
                ("backup", json!({"backup_type": "payments"})),
                ("verify", json!({"action": "full", "backup_id": "latest-payments"})),
                ("reconcile", json!({"action": "events", "dry_run": false})),
                ("reconcile", json!({"action": "retry", "dry_run": false})),
            ] {
                succeeded(stack.invoke(function, payload).await.expect("invoked"));
            }
        }
    };
    tokio::join!(selling, working);
}

/// What the webhook says went wrong.
fn errors(stack: &Stack) -> String {
    let logs = stack.lambda.logs("webhook").expect("logs");
    let told = logs.iter().filter(|line| line.text.contains("\"ERROR\"")).map(|line| line.text.as_str());
    told.take(5).collect::<Vec<_>>().join("\n")
}

/// While business goes on, rotates the secret; then everything is there, and nothing was refused.
async fn rotate_under_load(guarded: &Guarded, stack: &Stack, shop: &mut Shop, payloads: &[Value]) {
    let over = AtomicBool::new(false);
    let rotating = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        for payload in payloads {
            act(stack, payload.clone()).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        over.store(true, Ordering::Relaxed);
    };
    let business = business(stack, shop, &over);
    tokio::time::timeout(PATIENCE, async { tokio::join!(rotating, business) }).await.expect("in time");
    settle(stack).await;
    let log = stack.stripe.delivery_log();
    assert!(log.len() > 50, "there was load: {}", log.len());
    for attempt in log {
        assert_eq!(attempt.outcome, AttemptOutcome::Answered(200), "{attempt:?}\n{}", errors(stack));
    }
    // As the superuser: the login with which the stack began may have been replaced.
    let left = "select count(*)::text from recoup.webhook_events where status <> 'processed' and status <> 'ignored'";
    assert_eq!(guarded.text(left).await.as_deref(), Some("0"));
    let kept = guarded.text("select count(*)::text from recoup.webhook_events").await;
    assert_eq!(kept, Some(stack.stripe.event_count().to_string()));
}

async fn stack(guarded: &Guarded) -> (Stack, Shop) {
    let functions = ["webhook", "backup", "verify", "reconcile", "rotate"];
    // More than deliveries come at once: one too many is throttled, and that would be no fault of a rotation.
    let stack = guarded.stack().functions(functions).instances("webhook", 64).start().await.expect("a stack");
    let mut shop = Shop::open(&stack.stripe, 1).expect("a shop");
    shop.sell(2).expect("sales");
    settle(&stack).await;
    (stack, shop)
}

#[tokio::test]
async fn the_databases_password_is_rotated_twice_under_load() {
    let guarded = Guarded::start(None, "superuser").await;
    let (stack, mut shop) = stack(&guarded).await;
    let rotate = json!({"action": "rotate", "secret": "database"});
    let over = AtomicBool::new(false);
    // Connections end as well: whoever has to log in anew does so with what is current.
    let cutting = async {
        while !over.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(700)).await;
            // Only such as a request has left for the next: one that was just opened has no second try.
            let idle = "select count(pg_terminate_backend(pid))::text from pg_stat_activity
                where application_name = 'recoup webhook' and state = 'idle' and query <> ''
                    and state_change < clock_timestamp() - interval '1 second'";
            guarded.text(idle).await;
        }
    };
    let rotating = async {
        rotate_under_load(&guarded, &stack, &mut shop, &[rotate.clone(), rotate]).await;
        over.store(true, Ordering::Relaxed);
    };
    tokio::join!(cutting, rotating);
    assert_eq!(login(&stack, "database").await.0, "shop");
}

#[tokio::test]
async fn the_signing_secret_is_rotated_under_load_even_just_after_a_forgery() {
    let guarded = Guarded::start(None, "superuser").await;
    let (stack, mut shop) = stack(&guarded).await;
    patient(&stack);
    // Every instance has just read the secret, and will not again for half a minute.
    let forge = async || {
        let body = b"{}";
        let signature = header("whsec_forged", unix_now(), body);
        let (status, _) = Http::new().post(&stack, Some(&signature), body).await;
        assert_eq!(status, 400);
    };
    for _ in 0..20 {
        tokio::join!(forge(), forge(), forge(), forge());
    }
    let payloads = [
        json!({"action": "rotate", "secret": "stripe_webhook"}),
        json!({"action": "finish_overlap", "overlap_hours": 0}),
        json!({"action": "finish_overlap", "overlap_hours": 0}),
    ];
    rotate_under_load(&guarded, &stack, &mut shop, &payloads).await;
    let entry = stack.secrets.get("stripe-webhook").await.expect("a value")["endpoints"]["platform"].clone();
    assert_eq!(entry["previous"], Value::Null, "{}", entry["endpoint_id"]);
}

#[tokio::test]
async fn the_backup_key_and_the_stripe_key_are_rotated_under_load() {
    let guarded = Guarded::start(None, "superuser").await;
    let (stack, mut shop) = stack(&guarded).await;
    let new = "sk_test_51RecoupStandInKeyOfTheLoad000";
    stack.stripe.add_api_key(new);
    stack
        .secrets
        .put_pending("stripe-api", &super::arena::token(), &json!({"api_key": new}))
        .await
        .expect("put");
    let payloads = [
        json!({"action": "rotate", "secret": "backup_key"}),
        json!({"action": "rotate", "secret": "stripe_api_key"}),
    ];
    rotate_under_load(&guarded, &stack, &mut shop, &payloads).await;
    assert_eq!(stack.secrets.get("stripe-api").await.expect("a value"), json!({"api_key": new}));
    succeeded(stack.invoke("verify", json!({"action": "changes"})).await.expect("invoked"));
}
