//! Refunds as Stripe told of them over the years: each shape takes back what was bought, and only what was paid.

use serde_json::{Value, json};
use stack::stripe::{Stripe, StripeOptions};

use crate::order::Receiver;

const PAID_AT: i64 = 1_650_000_000;
const REFUNDED_AT: i64 = 1_650_000_100;

fn event(id: &str, version: &str, kind: &str, created: i64, object: &Value) -> Value {
    json!({
        "id": id, "object": "event", "api_version": version, "created": created, "type": kind, "livemode": false,
        "data": {"object": object},
    })
}

fn sale() -> Value {
    event(
        "evt_sale",
        "2020-08-27",
        "checkout.session.completed",
        PAID_AT,
        &json!({
            "id": "cs_1", "object": "checkout.session", "payment_status": "paid", "currency": "eur",
            "amount_total": 1000, "payment_intent": "pi_1", "customer": "cus_1",
            "metadata": {"recoup_items": r#"[{"kind":"ticket","ref":"conf"}]"#},
        }),
    )
}

/// A charge of 1000 as those years have it; `more` overrides.
fn charge(more: &Value) -> Value {
    let mut charge = json!({
        "id": "ch_1", "object": "charge", "amount": 1000, "amount_captured": 1000, "amount_refunded": 0,
        "balance_transaction": "txn_1", "captured": true, "created": PAID_AT, "currency": "eur", "customer": "cus_1",
        "payment_intent": "pi_1", "status": "succeeded",
    });
    for (name, value) in more.as_object().expect("fields") {
        charge[name] = value.clone();
    }
    charge
}

fn refund(id: &str, amount: i64, status: &Value) -> Value {
    json!({
        "id": id, "object": "refund", "amount": amount, "balance_transaction": "txn_2", "charge": "ch_1",
        "created": REFUNDED_AT, "currency": "eur", "reason": null, "status": status,
    })
}

/// The rows that matter after these events in order, and in reverse.
async fn after(events: &[Value]) -> (Value, Value) {
    let stripe = Stripe::start(StripeOptions::default()).await.expect("a Stripe");
    let mut receiver = Receiver::new(&stripe).await;
    for event in events {
        receiver.take(event).await;
    }
    let rows = receiver.rows().await;
    receiver.clear().await;
    for event in events.iter().rev() {
        receiver.take(event).await;
    }
    let reversed = receiver.rows().await;
    assert_eq!(rows, reversed, "in reverse");
    let sums = rows["ledger_entries"].as_array().expect("entries").iter().map(|entry| {
        let amount = entry["amount"].as_i64().expect("an amount");
        if entry["debit_account"] == "stripe_balance" { amount } else { -amount }
    });
    let balance = sums.sum::<i64>();
    let payment = &rows["payments"][0];
    let facts = json!({
        "refunded": payment["amount_refunded"], "revoked": !rows["tickets"][0]["revoked_at"].is_null(),
        "balance": balance,
    });
    (facts, rows)
}

fn facts(refunded: i64, revoked: bool, balance: i64) -> Value {
    json!({"refunded": refunded, "revoked": revoked, "balance": balance})
}

#[tokio::test]
async fn before_2022_11_15_a_charge_brings_its_refunds() {
    let list = json!({"object": "list", "data": [refund("re_1", 600, &json!("succeeded")),
        refund("re_2", 400, &Value::Null)], "has_more": false, "url": "/v1/charges/ch_1/refunds"});
    let paid = event("evt_paid", "2020-08-27", "charge.succeeded", PAID_AT, &charge(&json!({})));
    let refunded = charge(&json!({"amount_refunded": 1000, "refunded": true, "refunds": list}));
    let refunded = event("evt_refunded", "2020-08-27", "charge.refunded", REFUNDED_AT, &refunded);
    let (found, rows) = after(&[sale(), paid.clone(), refunded.clone()]).await;
    assert_eq!(found, facts(1000, true, 0));
    let statuses: Vec<&str> = rows["refunds"]
        .as_array()
        .expect("refunds")
        .iter()
        .filter_map(|kept| kept["status"].as_str())
        .collect();
    assert_eq!(statuses, ["succeeded", "succeeded"]);

    // The bank sends one of them back: no event of the charge says so.
    let failed = refund("re_2", 400, &json!("failed"));
    let failed = event("evt_failed", "2020-08-27", "charge.refund.updated", REFUNDED_AT + 50, &failed);
    let (found, _) = after(&[sale(), paid, refunded, failed]).await;
    assert_eq!(found, facts(600, false, 400));
}

#[tokio::test]
async fn until_2024_10_28_only_the_charges_sum_tells_of_a_refund() {
    let paid = event("evt_paid", "2023-08-16", "charge.succeeded", PAID_AT, &charge(&json!({})));
    let part = charge(&json!({"amount_refunded": 400}));
    let part = event("evt_part", "2023-08-16", "charge.refunded", REFUNDED_AT, &part);
    let (found, _) = after(&[sale(), paid.clone(), part.clone()]).await;
    assert_eq!(found, facts(400, false, 1000), "the ledger waits for the refund itself");
    let whole = charge(&json!({"amount_refunded": 1000, "refunded": true}));
    let whole = event("evt_whole", "2023-08-16", "charge.refunded", REFUNDED_AT + 10, &whole);
    let (found, _) = after(&[sale(), paid.clone(), part.clone(), whole.clone()]).await;
    assert_eq!(found, facts(1000, true, 1000));
    // The later of the two failed: what the charge said before is less by that.
    let mut failed = refund("re_2", 600, &json!("failed"));
    failed["payment_intent"] = json!("pi_1");
    let failed = event("evt_failed", "2023-08-16", "charge.refund.updated", REFUNDED_AT + 50, &failed);
    let (found, _) = after(&[sale(), paid.clone(), part, whole, failed]).await;
    assert_eq!(found, facts(400, false, 1000));
}

#[tokio::test]
async fn until_2025_03_31_what_was_never_captured_is_no_refund() {
    let mut released = refund("re_1", 400, &json!("succeeded"));
    released["balance_transaction"] = Value::Null;
    let list = json!({"object": "list", "data": [released], "has_more": false});
    for captured in [json!(600), Value::Null] {
        let object = charge(&json!({"amount_captured": captured, "amount_refunded": 400, "refunds": list}));
        let captured = event("evt_captured", "2019-12-03", "charge.captured", PAID_AT, &object);
        let (found, _) = after(&[sale(), captured]).await;
        assert_eq!(found, facts(0, false, 600));
    }
}
