//! Many transactions, several accounts, and time that runs out.

use std::time::Duration;

use serde_json::{Value, json};
use stack::Stack;

use super::books::{ask, builder, days_ago, everything, transaction};
use crate::http::unix_now;
use crate::support::{count, failed, succeeded};

const MANY: i64 = 350;
const DAY: i64 = 86_400;

/// Transactions over three days, each with a fee.
fn fill(stack: &Stack, begin: i64) {
    for number in 0..MANY {
        // Three within each second, so that a page ends within one.
        let created = begin + number / 3 * 3 * (3 * DAY / MANY);
        stack.stripe.put(&transaction(&format!("txn_{number:04}"), "topup", 1_000, 3, "eur", created));
    }
}

#[tokio::test]
async fn what_does_not_fit_into_one_invocation_goes_on_where_it_stopped() {
    // Less than what a run keeps back for its end: each does one page.
    let stack = builder().timeout("reconcile", Duration::from_secs(60)).start().await.expect("a stack");
    fill(&stack, unix_now() - 3 * DAY);
    let mut request = json!({"action": "balance", "from": days_ago(5), "to": days_ago(-1), "dry_run": false});
    let (mut posted, mut net, mut days) = (0, 0, Vec::new());
    for invocation in 1.. {
        let reply = succeeded(ask(&stack, request.clone()).await);
        posted += reply["posted"].as_i64().expect("a count");
        net += reply["money"]
            .as_array()
            .expect("money")
            .iter()
            .filter_map(|total| total["net"].as_i64())
            .sum::<i64>();
        assert_eq!(reply["findings"], json!([]), "{reply}");
        if reply["status"] == "completed" {
            assert_eq!((&reply["drift"], &reply["remaining"]), (&json!(false), &Value::Null));
            break;
        }
        assert_eq!((&reply["status"], &reply["drift"]), (&json!("partial"), &json!(true)), "{reply}");
        request = reply["remaining"].clone();
        let to = request["cursor"]["to"].as_str().expect("an instant").to_owned();
        days.push(to);
        assert!(invocation < 10, "it gets on: {days:?}");
    }
    assert!(days.len() >= 3, "{days:?}");
    assert!(days.iter().any(|to| to.contains("T23:59:59Z")), "a part ends where a day does: {days:?}");
    assert_eq!((posted, net), (2 * MANY, MANY * 997));
    assert_eq!(count(&stack, "select count(*) from recoup.balance_transactions").await, MANY);
    let good = "select count(*) from recoup.reconciliations where scope = 'balance' and status = 'completed'";
    assert_eq!(count(&stack, good).await, 1);
}

#[tokio::test]
async fn stripe_is_asked_no_more_than_is_needed_and_accounts_are_kept_apart() {
    let stack =
        builder().env("reconcile", "STRIPE_ACCOUNTS", "acct_1Art,acct_1Gone").start().await.expect("a stack");
    fill(&stack, unix_now() - 3 * DAY);
    let art = stack.stripe.account("acct_1Art");
    art.put(&transaction("txn_art", "topup", 500, 0, "jpy", unix_now() - 60));
    stack.stripe.account("acct_1Gone");
    stack.stripe.disconnect("acct_1Gone");
    let before = stack.stripe.request_count();
    let reply = succeeded(ask(&stack, everything(false)).await);
    // Four pages and a list of payouts; two lists of the second account; one refusal.
    assert_eq!(stack.stripe.request_count() - before, 4 + 1 + 2 + 1, "{reply}");
    assert_eq!((&reply["accounts"], &reply["unexplained"]), (&json!(2), &json!(0)), "{reply}");
    let finding = &reply["findings"][0];
    assert_eq!((&finding["object"], &finding["id"]), (&json!("account"), &json!("acct_1Gone")), "{reply}");
    let filed =
        "select count(*) from recoup.ledger_entries where source_id = 'txn_art' and account = 'acct_1Art'";
    assert_eq!(count(&stack, filed).await, 1);

    // A cent that is wrong in one account is looked for in that account alone.
    sqlx::query("update recoup.ledger_entries set amount = amount + 1 where source_id = 'txn_art'")
        .execute(&stack.pool)
        .await
        .expect("planted");
    let mut request = everything(true);
    request["account"] = json!("acct_1Art");
    let refused = ask(&stack, request.clone()).await;
    assert_eq!(failed(&refused), "UnexplainedMoney");
    let message = refused.payload["errorMessage"].as_str().expect("a message");
    assert!(message.contains("txn_art") && message.contains("501 JPY"), "{message}");
    request["account"] = json!("acct_1Other");
    assert_eq!(failed(&ask(&stack, request).await), "InvalidRequest");
    for wrong in [
        json!({"action": "balance", "from": days_ago(1), "to": days_ago(2)}),
        json!({"action": "balance", "metadata": {"a": "b"}}),
        json!({"action": "balance", "cursor": {"account": "acct_1Art"}}),
    ] {
        assert_eq!(failed(&ask(&stack, wrong).await), "InvalidRequest");
    }
}
