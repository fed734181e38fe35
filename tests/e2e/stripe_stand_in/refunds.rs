//! Refunds: whole, in parts, refused, pending, failed, cancelled.

use serde_json::json;
use stack::stripe::{RefundHabit, RefundOutcome};

use super::api::{Api, id};

#[tokio::test]
async fn parts_add_up_and_no_more() {
    let api = Api::start().await;
    let intent = api.paid(5000, "pm_card_visa").await;
    let charge = intent["latest_charge"].as_str().expect("an id");
    let before = api.stripe.event_count();
    let first =
        api.make("/v1/refunds", &format!("charge={charge}&amount=2000&reason=requested_by_customer")).await;
    assert_eq!(
        (&first["amount"], &first["status"], &first["payment_intent"]),
        (&json!(2000), &json!("succeeded"), &intent["id"])
    );
    assert_eq!(
        api.stripe.event_types()[before..],
        ["refund.created", "charge.refunded", "refund.updated", "charge.refund.updated"]
    );
    let refunded = &api.stripe.events()[before + 1]["data"];
    assert_eq!(refunded["previous_attributes"], json!({ "amount_refunded": 0 }));
    assert_eq!(
        (&refunded["object"]["amount_refunded"], &refunded["object"]["refunded"]),
        (&json!(2000), &json!(false))
    );

    let too_much = api.post("/v1/refunds", &format!("charge={charge}&amount=3001")).await;
    let message = "Refund amount ($30.01) is greater than unrefunded amount on charge ($30.00)";
    assert_eq!(too_much.error(), (400, "", message, "amount"));
    let rest = api.make("/v1/refunds", &format!("payment_intent={}", id(&intent))).await;
    assert_eq!(rest["amount"], 3000);
    let again = api.post("/v1/refunds", &format!("charge={charge}")).await;
    assert_eq!((again.status, again.error().1), (400, "charge_already_refunded"));
    assert_eq!(again.error().2, format!("Charge {charge} has already been refunded."));

    let list = api.read("/v1/refunds", &format!("charge={charge}")).await;
    assert_eq!(list["data"].as_array().map(Vec::len), Some(2));
    let under_charge = api.read(&format!("/v1/charges/{charge}/refunds"), "limit=1").await;
    assert_eq!((&under_charge["data"][0]["id"], &under_charge["has_more"]), (&rest["id"], &json!(true)));
    let form = "type=refund&expand[]=data.source";
    let transactions = api.read("/v1/balance_transactions", form).await;
    assert_eq!(transactions["data"][0]["amount"], -3000);
    assert_eq!(transactions["data"][0]["source"]["object"], "refund");
    assert_eq!(
        api.read(&format!("/v1/charges/{charge}"), "expand[]=refunds").await["refunds"]["data"][1]["amount"],
        2000
    );
}

#[tokio::test]
async fn more_than_the_charge_and_the_unpaid_are_refused() {
    let api = Api::start().await;
    let intent = api.paid(1000, "pm_card_visa").await;
    let refused = api.post("/v1/refunds", &format!("payment_intent={}&amount=1001", id(&intent))).await;
    assert_eq!(refused.error().2, "Refund amount ($10.01) is greater than charge amount ($10.00)");
    let open = api.make("/v1/payment_intents", "amount=1000&currency=usd").await;
    let refused = api.post("/v1/refunds", &format!("payment_intent={}", id(&open))).await;
    assert!(refused.error().2.ends_with("does not have a successful charge to refund."), "{}", refused.text);
    assert_eq!(api.post("/v1/refunds", "charge=ch_x").await.error().1, "resource_missing");
    assert_eq!(api.stripe.count("refund"), 0);
}

#[tokio::test]
async fn a_pending_refund_ends_one_way_or_the_other() {
    let api = Api::start().await;
    let intent = api.paid(1000, "pm_card_pendingRefund").await;
    let refund = api.make("/v1/refunds", &format!("payment_intent={}", id(&intent))).await;
    assert_eq!(refund["status"], "pending");
    let before = api.stripe.event_count();
    let done = api.make(&format!("/v1/test_helpers/refunds/{}/succeed", id(&refund)), "").await;
    assert_eq!(done["status"], "succeeded");
    assert_eq!(api.stripe.event_types()[before..], ["refund.updated", "charge.refund.updated"]);

    // Even one that succeeded may come back.
    let failed = api.stripe.finish_refund(&id(&refund), RefundOutcome::Failed).expect("it may fail late");
    assert_eq!(
        (&failed["status"], &failed["failure_reason"]),
        (&json!("failed"), &json!("lost_or_stolen_card"))
    );
    let charge = api.stripe.object(intent["latest_charge"].as_str().expect("an id")).expect("it exists");
    assert_eq!((&charge["amount_refunded"], &charge["refunded"]), (&json!(0), &json!(false)));
    assert_eq!(api.stripe.event_types().last().map(String::as_str), Some("refund.failed"));
    let balance = api.read("/v1/balance_transactions", "").await;
    let sum: i64 =
        balance["data"].as_array().expect("data").iter().map(|t| t["amount"].as_i64().expect("amount")).sum();
    assert_eq!(sum, 1000, "the refund and its failure cancel out");
    assert!(api.stripe.finish_refund(&id(&refund), RefundOutcome::Succeeded).is_err(), "failed is final");
}

#[tokio::test]
async fn only_a_refund_that_waits_for_the_buyer_can_be_cancelled() {
    let api = Api::start().await;
    let intent = api.paid(1000, "pm_card_visa").await;
    api.stripe.set_refund_habit(RefundHabit::RequiresAction);
    let waiting = api.make("/v1/refunds", &format!("payment_intent={}", id(&intent))).await;
    let canceled = api.make(&format!("/v1/refunds/{}/cancel", id(&waiting)), "").await;
    assert_eq!(canceled["status"], "canceled");
    api.stripe.set_refund_habit(RefundHabit::Succeed);
    let done = api.make("/v1/refunds", &format!("payment_intent={}", id(&intent))).await;
    assert_eq!(done["amount"], 1000, "a cancelled refund gives its amount back to the charge");
    assert_eq!(api.post(&format!("/v1/refunds/{}/cancel", id(&done)), "").await.status, 400);
}
