//! The webhook through a pooler in transaction mode.

use serde_json::json;
use stack::Stack;
use stack::pooler::Pooler;
use stack::shop::Shop;

use crate::http::Http;
use crate::support::{count, eager, records_of, sell};
use crate::webhook::deliver_all;

async fn behind_a_pooler(mode: &str) -> (Stack, Pooler) {
    let stack = eager()
        .functions(["webhook"])
        .env("webhook", "DATABASE_POOLER", mode)
        .start()
        .await
        .expect("a stack");
    // Fewer connections than instances: they take turns.
    let pooler = Pooler::start(&stack.database_url, 3).await.expect("a pooler");
    stack.secrets.put("database", &json!({"url": pooler.url()})).await.expect("put");
    (stack, pooler)
}

#[tokio::test]
async fn a_pooler_in_transaction_mode_changes_nothing() {
    let direct = eager().functions(["webhook"]).start().await.expect("a stack");
    let mut shop = Shop::open(&direct.stripe, 13).expect("a shop");
    sell(&direct, &mut shop, 40).await;
    let expected = records_of(&direct).await;

    let (stack, _pooler) = behind_a_pooler("transaction").await;
    let mut events = direct.stripe.events();
    events.extend(direct.stripe.events().into_iter().step_by(7));
    deliver_all(&direct, &stack, &events, 8).await;
    let found = records_of(&stack).await;
    assert_eq!(expected.differences(&found), Vec::<String>::new());
    assert_eq!(expected.money, found.money);
    let failed = "select count(*) from recoup.webhook_events where status in ('failed', 'dead')";
    assert_eq!(count(&stack, failed).await, 0);
    let (status, answer) = Http::new().send(http::Method::GET, &stack.health_url(), &[], b"").await;
    assert_eq!(status, 200, "{answer}");

    // What the rows refuse is recorded as failed, in a transaction after the one that was rolled back.
    let session = json!({
        "id": "cs_1", "payment_status": "paid", "currency": "eur", "amount_total": 1, "created": 1, "customer": "cus_1",
        "metadata": {"recoup_items": r#"[{"kind":"ticket","ref":"conf","quantity":999999}]"#},
    });
    let event = json!({
        "id": "evt_hall", "type": "checkout.session.completed", "created": 1_795_244_400, "livemode": false,
        "data": {"object": session},
    });
    assert_eq!(Http::new().deliver(&stack, event.to_string().as_bytes()).await.1["outcome"], "failed");
    assert_eq!(count(&stack, failed).await, 1);
}

#[tokio::test]
async fn a_pooler_that_is_not_configured_is_refused_and_not_misused() {
    let (stack, _pooler) = behind_a_pooler("none").await;
    let (status, answer) = Http::new().send(http::Method::GET, &stack.health_url(), &[], b"").await;
    assert_eq!((status, answer["db"].as_str()), (503, Some("DatabaseUnavailable")), "{answer}");
}
