//! Disputes: opened by test cards, answered, won, lost, with the money that moves.

use serde_json::{Value, json};

use super::api::{Api, id, ids};

async fn disputed(api: &Api, card: &str) -> Value {
    let intent = api.paid(5000, card).await;
    let list = api.read("/v1/disputes", &format!("payment_intent={}", id(&intent))).await;
    list["data"][0].clone()
}

fn told(api: &Api) -> Vec<String> {
    let mut types = api.stripe.event_types();
    types.retain(|kind| kind.starts_with("charge.dispute."));
    types
}

fn balance_moves(dispute: &Value) -> Vec<(Value, Value, Value)> {
    let moves = dispute["balance_transactions"].as_array().unwrap().iter();
    moves.map(|one| (one["amount"].clone(), one["fee"].clone(), one["reporting_category"].clone())).collect()
}

#[tokio::test]
async fn a_dispute_takes_the_money_and_its_fee_and_gives_them_back_when_won() {
    let api = Api::start().await;
    let dispute = disputed(&api, "pm_card_createDispute").await;
    assert_eq!(
        (&dispute["status"], &dispute["reason"], &dispute["amount"]),
        (&json!("needs_response"), &json!("fraudulent"), &json!(5000))
    );
    assert_eq!(balance_moves(&dispute), [(json!(-5000), json!(1500), json!("dispute"))]);
    assert_eq!(told(&api), ["charge.dispute.created", "charge.dispute.funds_withdrawn"]);
    let withdrawn = api.stripe.events().pop().unwrap();
    assert_eq!(withdrawn["data"]["previous_attributes"], json!({ "balance_transactions": [] }));
    let charge = api.read(&format!("/v1/charges/{}", dispute["charge"].as_str().unwrap()), "").await;
    assert_eq!(charge["disputed"], true);

    let path = format!("/v1/disputes/{}", id(&dispute));
    api.make(&path, "evidence[customer_name]=Ann&submit=false").await;
    assert_eq!(told(&api).pop().unwrap(), "charge.dispute.updated");
    let won = api.make(&path, "evidence[uncategorized_text]=winning_evidence").await;
    assert_eq!(won["status"], "won");
    assert_eq!(balance_moves(&won)[1], (json!(5000), json!(-1500), json!("dispute_reversal")));
    assert_eq!(
        told(&api)[3..],
        ["charge.dispute.updated", "charge.dispute.closed", "charge.dispute.funds_reinstated"]
    );
    assert_eq!(api.post(&format!("{path}/close"), "").await.status, 400);

    let expand = "type=adjustment&expand[]=data.source";
    let transactions = api.read("/v1/balance_transactions", expand).await;
    assert_eq!(transactions["data"][0]["source"]["status"], "won");
    let net: i64 =
        transactions["data"].as_array().unwrap().iter().filter_map(|one| one["net"].as_i64()).sum();
    assert_eq!(net, 0);
}

#[tokio::test]
async fn a_dispute_is_lost_by_giving_in_or_by_judgement() {
    let api = Api::start().await;
    let dispute = disputed(&api, "pm_card_createDisputeProductNotReceived").await;
    assert_eq!(dispute["reason"], "product_not_received");
    let lost = api.make(&format!("/v1/disputes/{}/close", id(&dispute)), "").await;
    assert_eq!((&lost["status"], balance_moves(&lost).len()), (&json!("lost"), 1));
    assert_eq!(told(&api).pop().unwrap(), "charge.dispute.closed");

    let charge = api.paid(700, "pm_card_visa").await["latest_charge"].as_str().unwrap().to_owned();
    let opened = api.make(&format!("/v1/test_helpers/charges/{charge}/dispute"), "reason=duplicate").await;
    let lost = api.make(&format!("/v1/test_helpers/disputes/{}/lose", id(&opened)), "").await;
    assert_eq!((&lost["status"], &lost["reason"]), (&json!("lost"), &json!("duplicate")));
    assert_eq!(ids(&api.read("/v1/disputes", &format!("charge={charge}")).await), [id(&opened)]);
    let page = api.read("/v1/disputes", "limit=1&expand[]=data.charge&expand[]=data.payment_intent").await;
    assert_eq!((&page["has_more"], &page["data"][0]["charge"]["amount"]), (&json!(true), &json!(700)));
    assert_eq!(page["data"][0]["payment_intent"]["status"], "succeeded");
}

#[tokio::test]
async fn an_inquiry_moves_nothing_until_it_escalates() {
    let api = Api::start().await;
    let inquiry = disputed(&api, "pm_card_createDisputeInquiry").await;
    assert_eq!((&inquiry["status"], balance_moves(&inquiry).len()), (&json!("warning_needs_response"), 0));
    assert_eq!(told(&api), ["charge.dispute.created"]);
    let path = format!("/v1/disputes/{}", id(&inquiry));
    let escalated = api.make(&path, "evidence[uncategorized_text]=escalate_inquiry_evidence").await;
    assert_eq!((&escalated["status"], balance_moves(&escalated).len()), (&json!("needs_response"), 1));
    assert_eq!(told(&api).pop().unwrap(), "charge.dispute.funds_withdrawn");

    let inquiry = disputed(&api, "pm_card_createDisputeInquiry").await;
    let closed = api.make(&format!("/v1/disputes/{}/close", id(&inquiry)), "").await;
    assert_eq!((&closed["status"], balance_moves(&closed).len()), (&json!("warning_closed"), 0));
}
