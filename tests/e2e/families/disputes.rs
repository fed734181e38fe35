//! Disputes, and the rule of what takes back a purchase.

use serde_json::{Value, json};

use super::history::{
    apply, charge, deliver, event, fixture, forget, grants, ledger, purchase, row, rows,
    same_rows_in_any_order, stack,
};
use crate::http::Http;

fn refund(id: &str, seconds: i64, amount: i64, status: &str) -> Value {
    let refund = json!({
        "id": id, "object": "refund", "amount": amount, "charge": "ch_1", "created": super::history::START + 10,
        "currency": "eur", "payment_intent": "pi_1", "reason": null, "status": status,
    });
    event(&format!("evt_{id}_{status}"), "refund.updated", seconds, refund)
}

#[tokio::test]
async fn a_lost_dispute_takes_back_what_was_bought() {
    let (stack, http) = (stack().await, Http::new());
    for year in ["2019", "2024", "2026"] {
        forget(&stack).await;
        apply(&stack, &http, &[purchase(), fixture("dispute-lost", year)].concat()).await;
        assert_eq!(
            row(
                &stack,
                "select concat_ws(' ', id, charge_id, payment_id, status, amount, currency, reason,
                extract(epoch from lost_at - created_at)::int) from recoup.disputes"
            )
            .await,
            "dp_1 ch_1 pi_1 lost 10000 eur fraudulent 800",
            "{year}"
        );
        assert_eq!(grants(&stack).await, (0, 5), "{year}");
        assert_eq!(
            ledger(&stack).await,
            [
                "ch_1 charge stripe_balance sales 10000 eur",
                "txn_w dispute disputes stripe_balance 10000 eur",
                "txn_w dispute_fee fees stripe_balance 1500 eur",
            ]
        );
    }
}

#[tokio::test]
async fn a_won_dispute_gives_back_money_and_grants() {
    let (stack, http) = (stack().await, Http::new());
    for year in ["2019", "2024", "2026"] {
        forget(&stack).await;
        apply(&stack, &http, &[purchase(), fixture("dispute-won", year)].concat()).await;
        assert_eq!(row(&stack, "select concat_ws(' ', status, lost_at) from recoup.disputes").await, "won");
        assert_eq!(grants(&stack).await, (5, 0), "{year}");
        assert_eq!(
            ledger(&stack).await[1..],
            [
                "txn_r dispute_fee_reversal stripe_balance fees 1500 eur",
                "txn_r dispute_reversal stripe_balance disputes 10000 eur",
                "txn_w dispute disputes stripe_balance 10000 eur",
                "txn_w dispute_fee fees stripe_balance 1500 eur",
            ]
        );
        let balances =
            "select concat_ws(' ', ledger_account, balance) from recoup.ledger_balances order by 1";
        assert_eq!(
            rows(&stack, balances).await,
            ["disputes 0", "fees 0", "sales -10000", "stripe_balance 10000"]
        );
    }
    // A dispute that was lost can still be won: what was taken back is given back.
    let mut lost = fixture("dispute-won", "2026").remove(2);
    lost["id"] = json!("evt_lost_first");
    lost["created"] = json!(super::history::START + 800);
    lost["data"]["object"]["status"] = json!("lost");
    forget(&stack).await;
    apply(&stack, &http, &[purchase(), vec![lost]].concat()).await;
    assert_eq!(grants(&stack).await, (0, 5));
    apply(&stack, &http, &fixture("dispute-won", "2026")).await;
    assert_eq!(grants(&stack).await, (5, 0));
}

#[tokio::test]
async fn disputes_end_in_the_same_rows_in_any_order() {
    let (stack, http) = (stack().await, Http::new());
    for family in ["dispute-lost", "dispute-won"] {
        same_rows_in_any_order(&stack, &http, &fixture(family, "2026")).await;
        let events = [purchase(), fixture(family, "2026")].concat();
        same_rows_in_any_order(&stack, &http, &events).await;
        assert_eq!(grants(&stack).await.0, if family == "dispute-won" { 5 } else { 0 });
    }
    // An update after the end, and a refund of a part before it.
    let mut events = [purchase(), fixture("dispute-lost", "2026")].concat();
    let mut updated = events[5].clone();
    updated["id"] = json!("evt_late");
    updated["type"] = json!("charge.dispute.updated");
    updated["created"] = json!(super::history::START + 5000);
    events.extend([updated, refund("re_1", 50, 2_500, "succeeded")]);
    same_rows_in_any_order(&stack, &http, &events).await;
}

#[tokio::test]
async fn a_dispute_that_names_its_charge_alone_waits_for_it() {
    let (stack, http) = (stack().await, Http::new());
    let dispute = fixture("dispute-lost", "2019");
    assert_eq!(deliver(&stack, &http, &dispute[3]).await, "failed");
    assert_eq!(
        row(&stack, "select last_error from recoup.webhook_events").await,
        "the rows refuse it: constraint disputes_charge_is_known"
    );
    apply(&stack, &http, &purchase()).await;
    apply(&stack, &http, &dispute).await;
    assert_eq!(grants(&stack).await, (0, 5));

    // A charge of before there were payment intents is known to stand alone.
    forget(&stack).await;
    let mut alone = charge();
    alone["data"]["object"]["payment_intent"] = Value::Null;
    apply(&stack, &http, &[vec![alone], dispute].concat()).await;
    assert_eq!(
        row(&stack, "select concat_ws(' ', charge_alone, payment_id) from recoup.disputes").await,
        "t"
    );
}

#[tokio::test]
async fn what_a_dispute_lacks_is_named() {
    let (stack, http) = (stack().await, Http::new());
    let mut event = fixture("dispute-lost", "2026").remove(1);
    event["data"]["object"].as_object_mut().expect("an object").remove("charge");
    assert_eq!(deliver(&stack, &http, &event).await, "failed");
    let reason = "select last_error from recoup.webhook_events";
    assert_eq!(row(&stack, reason).await, "data.object: missing field `charge`");
    forget(&stack).await;
    let mut event = fixture("dispute-lost", "2026").remove(1);
    event["data"]["object"]["balance_transactions"] = json!([]);
    assert_eq!(deliver(&stack, &http, &event).await, "failed");
    assert!(row(&stack, reason).await.starts_with("data.object.balance_transactions: "));
}

#[tokio::test]
async fn a_part_that_went_back_takes_back_nothing_and_parts_that_make_the_whole_take_back_all() {
    let (stack, http) = (stack().await, Http::new());
    let mut dispute = fixture("dispute-lost", "2026").remove(3);
    dispute["data"]["object"]["amount"] = json!(4_000);
    dispute["data"]["object"]["balance_transactions"] = json!([]);
    let steps = [
        (refund("re_1", 10, 2_500, "succeeded"), (5, 0)),
        (refund("re_2", 20, 3_499, "succeeded"), (5, 0)),
        (dispute, (5, 0)),
        (refund("re_3", 1000, 1, "succeeded"), (0, 5)),
        (refund("re_1", 2000, 2_500, "failed"), (5, 0)),
    ];
    apply(&stack, &http, &purchase()).await;
    for (event, expected) in &steps {
        apply(&stack, &http, std::slice::from_ref(event)).await;
        assert_eq!(grants(&stack).await, *expected, "{event:#}");
    }
    let returned =
        "select concat_ws(' ', amount_refunded, amount_lost, amount_returned) from recoup.payments";
    assert_eq!(row(&stack, returned).await, "3500 4000 7500");
    let events = [purchase(), steps.map(|(event, _)| event).to_vec()].concat();
    same_rows_in_any_order(&stack, &http, &events).await;
}
