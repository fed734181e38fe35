//! What no event tells of is posted, money of another currency included; what nobody knows is named.

use serde_json::json;
use stack::Stack;

use super::books::{ask, balance_in_the_ledger, balanced, builder, everything, transaction};
use crate::http::unix_now;
use crate::support::{count, failed, settle};

async fn entries(stack: &Stack, of: &str) -> Vec<String> {
    sqlx::query_scalar(
        "select concat_ws(' ', kind, debit_account, credit_account, amount, currency)
         from recoup.ledger_entries where source_id = $1 order by kind",
    )
    .bind(of)
    .fetch_all(&stack.pool)
    .await
    .expect("entries")
}

#[tokio::test]
async fn transactions_without_an_event_are_posted_by_what_they_are() {
    let stack = builder().start().await.expect("a stack");
    let now = unix_now() - 100;
    for (id, category, amount, fee) in [
        ("txn_fee", "fee", -250, 0),
        ("txn_topup", "topup", 90_000, 0),
        ("txn_transfer", "transfer", -5_000, 0),
        ("txn_earning", "platform_earning", 700, 35),
        ("txn_back", "charge_failure", -4_900, -172),
    ] {
        stack.stripe.put(&transaction(id, category, amount, fee, "jpy", now));
    }
    balanced(&stack, false).await;
    for (id, expected) in [
        ("txn_fee", vec!["transaction fees stripe_balance 250 jpy"]),
        ("txn_topup", vec!["transaction stripe_balance topups 90000 jpy"]),
        ("txn_transfer", vec!["transaction transfers stripe_balance 5000 jpy"]),
        (
            "txn_earning",
            vec!["fee fees stripe_balance 35 jpy", "transaction stripe_balance platform_earnings 700 jpy"],
        ),
        (
            "txn_back",
            vec!["fee_reversal stripe_balance fees 172 jpy", "transaction sales stripe_balance 4900 jpy"],
        ),
    ] {
        assert_eq!(entries(&stack, id).await, expected, "{id}");
    }

    stack.stripe.put(&transaction("txn_tomorrow", "money_of_tomorrow", -1, 0, "jpy", now));
    let reply = ask(&stack, everything(false)).await;
    assert_eq!(failed(&reply), "UnexplainedMoney");
    let message = reply.payload["errorMessage"].as_str().expect("a message");
    assert!(message.contains("txn_tomorrow") && message.contains("-1 JPY as money_of_tomorrow"), "{message}");
    assert_eq!(entries(&stack, "txn_tomorrow").await, [""; 0], "nobody knows what to post");
}

#[tokio::test]
async fn money_of_another_currency_is_converted_and_both_currencies_add_up() {
    let stack = builder().start().await.expect("a stack");
    let form = "amount=10000&currency=usd&payment_method=pm_card_visa&confirm=true";
    let intent = stack.stripe.request("POST", "/v1/payment_intents", form).expect("paid");
    let intent = intent["id"].as_str().expect("an id");
    let refund = format!("payment_intent={intent}&amount=2500");
    stack.stripe.request("POST", "/v1/refunds", &refund).expect("refunded");
    settle(&stack).await;
    // The account's balance is in another currency than its customers pay.
    let listed = stack.stripe.request("GET", "/v1/balance_transactions", "").expect("two");
    for one in listed["data"].as_array().expect("data") {
        let mut one = one.clone();
        let (amount, fee) = if one["amount"] == 10_000 { (9_123, 320) } else { (-2_281, 0) };
        one["amount"] = json!(amount);
        one["fee"] = json!(fee);
        one["net"] = json!(amount - fee);
        one["currency"] = json!("eur");
        one["exchange_rate"] = json!(0.9123);
        stack.stripe.put(&one);
    }
    let reply = balanced(&stack, false).await;
    assert_eq!(reply["money"].as_array().map(Vec::len), Some(1), "{reply}");
    let total = &reply["money"][0];
    assert_eq!(
        (&total["currency"], &total["net"], &total["ledger_net"]),
        (&json!("eur"), &json!(6_522), &json!(6_522))
    );
    let ledger = balance_in_the_ledger(&stack).await;
    assert_eq!((ledger["eur"], ledger["usd"]), (6_522, 0));
    let converted = "select balance::bigint from recoup.ledger_balances where ledger_account = 'conversion' and currency = 'usd'";
    assert_eq!(count(&stack, converted).await, 7_500);
    assert_eq!(balanced(&stack, false).await["posted"], 0);
    // The ledger's cent in the customer's currency is held against the charge's row.
    sqlx::query("update recoup.ledger_entries set amount = amount + 1 where kind = 'charge'")
        .execute(&stack.pool)
        .await
        .expect("planted");
    assert_eq!(failed(&ask(&stack, everything(true)).await), "UnexplainedMoney");
}

#[tokio::test]
async fn a_charge_that_was_captured_in_steps_has_one_entry_and_several_transactions() {
    let stack = builder().start().await.expect("a stack");
    let form = "amount=10000&currency=eur&payment_method=pm_card_visa&confirm=true";
    stack.stripe.request("POST", "/v1/payment_intents", form).expect("paid");
    settle(&stack).await;
    let listed = stack.stripe.request("GET", "/v1/balance_transactions", "").expect("one");
    let mut first = listed["data"][0].clone();
    let mut second = first.clone();
    // The first step was three days before.
    let created = first["created"].as_i64().expect("a second");
    (first["amount"], first["fee"], first["net"]) = (json!(4_000), json!(100), json!(3_900));
    (second["amount"], second["fee"], second["net"]) = (json!(6_000), json!(220), json!(5_780));
    second["id"] = json!("txn_3step");
    first["created"] = json!(created - 3 * 86_400);
    // The list is in the order of what was put into it.
    let id = first["id"].as_str().expect("an id").to_owned();
    stack.stripe.forget(&id);
    stack.stripe.put(&first);
    stack.stripe.put(&second);
    sqlx::query("update recoup.ledger_entries set posted_at = posted_at - interval '3 days'")
        .execute(&stack.pool)
        .await
        .expect("it was made three days ago");
    // Of today alone, one step is listed; the other is asked for.
    let mut today = everything(false);
    today["from"] = json!(super::books::days_ago(1));
    let before = stack.stripe.request_count();
    let reply = crate::support::succeeded(ask(&stack, today).await);
    assert_eq!((&reply["listed"], &reply["differences"]), (&json!(1), &json!(0)), "{reply}");
    assert_eq!(stack.stripe.request_count() - before, 3, "transactions, payouts, and this charge");
    assert_eq!(count(&stack, "select count(*) from recoup.balance_transactions").await, 2);
}
