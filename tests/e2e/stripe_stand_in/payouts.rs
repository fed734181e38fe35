//! The balance and its payouts.

use serde_json::{Value, json};

use super::api::{Api, id, ids};

const DAY: i64 = 24 * 3600;
const START: i64 = 1_770_000_000;

fn last(api: &Api) -> String {
    api.stripe.event_types().pop().unwrap()
}

/// Available and pending, in minor units.
async fn balance(api: &Api) -> (Value, Value) {
    let balance = api.read("/v1/balance", "").await;
    (balance["available"][0]["amount"].clone(), balance["pending"][0]["amount"].clone())
}

#[tokio::test]
async fn a_payout_takes_what_is_available_and_arrives() {
    let api = Api::start().await;
    api.stripe.set_clock(START);
    api.paid(10_000, "pm_card_visa").await;
    assert_eq!(balance(&api).await, (json!(0), json!(9680)));
    let early = api.post("/v1/payouts", "amount=100&currency=usd").await;
    assert_eq!((early.status, early.error().1), (400, "balance_insufficient"));
    api.paid(2000, "pm_card_bypassPending").await;
    assert_eq!(balance(&api).await, (json!(1912), json!(9680)));

    let payout = api.make("/v1/payouts", "amount=1100&currency=usd&description=By hand").await;
    assert_eq!((&payout["status"], &payout["automatic"]), (&json!("pending"), &json!(false)));
    assert_eq!(last(&api), "payout.created");
    assert_eq!(balance(&api).await.0, 812);
    api.stripe.set_clock(START + 2 * DAY);
    assert_eq!(last(&api), "payout.paid");
    let paid = api.read(&format!("/v1/payouts/{}", id(&payout)), "expand[]=balance_transaction").await;
    assert_eq!((&paid["status"], &paid["balance_transaction"]["net"]), (&json!("paid"), &json!(-1100)));
    let filtered = api.get("/v1/balance_transactions", &format!("payout={}", id(&payout))).await;
    assert_eq!(filtered.status, 400, "only automatic ones tell what they paid out");
}

#[tokio::test]
async fn a_payout_is_canceled_or_sent_back_and_the_money_returns() {
    let api = Api::start().await;
    api.stripe.set_clock(START);
    api.paid(2000, "pm_card_bypassPending").await;
    let payout = id(&api.make("/v1/payouts", "amount=1000&currency=usd").await);
    let canceled = api.make(&format!("/v1/payouts/{payout}/cancel"), "").await;
    assert_eq!((&canceled["status"], last(&api)), (&json!("canceled"), "payout.canceled".to_owned()));
    assert_eq!(balance(&api).await.0, 1912);
    assert_eq!(api.post(&format!("/v1/payouts/{payout}/cancel"), "").await.status, 400);
    api.stripe.set_clock(START + 3 * DAY);
    assert_eq!(
        api.read(&format!("/v1/payouts/{payout}"), "").await["status"],
        "canceled",
        "and does not arrive"
    );

    let payout = id(&api.make("/v1/payouts", "amount=1000&currency=usd").await);
    api.make(&format!("/v1/test_helpers/payouts/{payout}/pay"), "").await;
    let failed = api.make(&format!("/v1/test_helpers/payouts/{payout}/fail"), "").await;
    assert_eq!((&failed["failure_code"], last(&api)), (&json!("account_closed"), "payout.failed".to_owned()));
    assert_eq!(balance(&api).await.0, 1912);
    let transaction = failed["failure_balance_transaction"].as_str().unwrap();
    let transaction = api.read(&format!("/v1/balance_transactions/{transaction}"), "").await;
    assert_eq!(transaction["reporting_category"], "payout_reversal");
    assert_eq!(ids(&api.read("/v1/payouts", "status=failed").await), [payout]);
}

#[tokio::test]
async fn an_automatic_payout_names_the_transactions_that_make_it_up() {
    let api = Api::start().await;
    api.stripe.set_clock(START);
    let nothing = api.post("/v1/test_helpers/payouts", "currency=usd").await;
    assert_eq!(nothing.error().1, "balance_insufficient");
    for _ in 0..3 {
        api.paid(10_000, "pm_card_visa").await;
    }
    let refunded = api.paid(4000, "pm_card_visa").await;
    api.make("/v1/refunds", &format!("payment_intent={}", id(&refunded))).await;
    api.stripe.set_clock(START + 2 * DAY);
    api.paid(700, "pm_card_visa").await;
    let payout = api.make("/v1/test_helpers/payouts", "currency=usd").await;
    assert_eq!((&payout["automatic"], &payout["reconciliation_status"]), (&json!(true), &json!("completed")));
    let mut told = api.stripe.event_types();
    told.retain(|kind| kind.starts_with("payout."));
    assert_eq!(told, ["payout.created", "payout.updated", "payout.reconciliation_completed"]);

    let form = format!("payout={}&limit=100&expand[]=data.source", id(&payout));
    let list = api.read("/v1/balance_transactions", &form).await;
    let listed = list["data"].as_array().unwrap();
    assert_eq!(listed.len(), 6, "four payments, a refund, and the payout itself");
    assert!(listed.iter().all(|one| one.get("payout").is_none()), "Stripe tells it by the filter alone");
    let net: i64 = listed.iter().filter_map(|one| one["net"].as_i64()).sum();
    assert_eq!(net, 0, "it pays out exactly what they sum up to");
    assert_eq!(balance(&api).await.0, 0);
    let again = api.post("/v1/test_helpers/payouts", "currency=usd").await;
    assert_eq!(again.error().1, "balance_insufficient", "nothing is paid out twice");
}
