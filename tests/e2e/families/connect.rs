//! Connected accounts and payouts.

use serde_json::{Value, json};

use super::history::{
    START, apply, deliver, fixture, forget, ledger, row, rows, same_rows_in_any_order, stack,
};
use crate::http::Http;

#[tokio::test]
async fn a_connected_account_is_as_it_last_described_itself() {
    let (stack, http) = (stack().await, Http::new());
    let account =
        "select concat_ws(' ', id, type, country, default_currency, charges_enabled, payouts_enabled,
        details_submitted, disabled_reason, currently_due) from recoup.connected_accounts";
    for year in ["2019", "2026"] {
        forget(&stack).await;
        let history = fixture("account", year);
        let expected = [
            "acct_1 express DE eur f f f requirements.past_due {external_account,tos_acceptance.date}",
            "acct_1 express DE eur t t t {}",
            "acct_1 express DE eur f f f requirements.past_due {individual.verification.document}",
        ];
        for (event, expected) in history.iter().zip(expected) {
            apply(&stack, &http, std::slice::from_ref(event)).await;
            assert_eq!(row(&stack, account).await, expected, "{year}");
        }
        same_rows_in_any_order(&stack, &http, &history).await;
    }
}

#[tokio::test]
async fn a_payout_moves_money_to_the_bank_and_back_when_it_fails() {
    let (stack, http) = (stack().await, Http::new());
    let payout = "select concat_ws(' ', id, status, amount, currency, automatic, balance_transaction,
        failure_balance_transaction, failure_code, reconciliation_status) from recoup.payouts";
    let paid = ["po_1 payout bank stripe_balance 7000 eur"];
    for year in ["2019", "2022", "2024", "2026"] {
        let history = fixture("payout", year);
        let last = history.len() - 1;
        let reconciled = if last == 4 { " completed" } else { "" };
        forget(&stack).await;
        apply(&stack, &http, &history[..2]).await;
        assert_eq!(ledger(&stack).await, [""; 0], "{year}");
        apply(&stack, &http, &history[2..last]).await;
        assert_eq!(row(&stack, payout).await, format!("po_1 paid 7000 eur t txn_po{reconciled}"), "{year}");
        assert_eq!(ledger(&stack).await, paid, "{year}");
        apply(&stack, &http, &history[last..]).await;
        assert_eq!(
            row(&stack, payout).await,
            format!("po_1 failed 7000 eur t txn_po txn_pf account_closed{reconciled}"),
            "{year}"
        );
        let balances =
            "select concat_ws(' ', ledger_account, balance) from recoup.ledger_balances order by 1";
        assert_eq!(rows(&stack, balances).await, ["bank 0", "stripe_balance 0"], "{year}");
        same_rows_in_any_order(&stack, &http, &history).await;
    }
}

#[tokio::test]
async fn a_canceled_payout_moves_nothing_and_a_negative_one_comes_from_the_bank() {
    let (stack, http) = (stack().await, Http::new());
    let mut canceled = fixture("payout", "2026").remove(1);
    canceled["id"] = json!("evt_canceled");
    canceled["type"] = json!("payout.canceled");
    canceled["data"]["object"]["status"] = json!("canceled");
    let history = [fixture("payout", "2026").remove(0), canceled];
    same_rows_in_any_order(&stack, &http, &history).await;
    assert_eq!(row(&stack, "select status from recoup.payouts").await, "canceled");
    assert_eq!(ledger(&stack).await, [""; 0]);

    let mut history = fixture("payout", "2026");
    for event in &mut history {
        event["data"]["object"]["amount"] = json!(-500);
    }
    same_rows_in_any_order(&stack, &http, &history).await;
    assert_eq!(
        ledger(&stack).await,
        ["po_1 payout stripe_balance bank 500 eur", "po_1 payout_failure bank stripe_balance 500 eur"]
    );
}

#[tokio::test]
async fn what_a_payout_or_an_account_lacks_is_named() {
    let (stack, http) = (stack().await, Http::new());
    for (family, field) in [("payout", "arrival_date"), ("payout", "status"), ("account", "charges_enabled")]
    {
        let mut event = fixture(family, "2026").remove(0);
        event["created"] = json!(START);
        event["data"]["object"].as_object_mut().expect("an object").remove(field);
        forget(&stack).await;
        assert_eq!(deliver(&stack, &http, &event).await, "failed");
        assert_eq!(
            row(&stack, "select last_error from recoup.webhook_events").await,
            format!("data.object: missing field `{field}`")
        );
    }
    let mut event = fixture("account", "2026").remove(0);
    event["data"]["object"]["requirements"] = Value::Null;
    event["id"] = json!("evt_no_requirements");
    apply(&stack, &http, &[event]).await;
}
