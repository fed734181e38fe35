//! A history of everything adds up, is posted once, and a dry run says what a real one does.

use serde_json::{Value, json};

use super::books::{balance_at_stripe, balance_in_the_ledger, balanced, builder, history, ledger};
use crate::support::count;

fn total<'r>(reply: &'r Value, currency: &str) -> &'r Value {
    let totals = reply["money"].as_array().expect("totals");
    totals.iter().find(|total| total["currency"] == currency).unwrap_or(&Value::Null)
}

#[tokio::test]
async fn every_cent_is_explained_and_posted_once_and_a_dry_run_is_exact() {
    let stack = builder().start().await.expect("a stack");
    history(&stack, 7, 110).await;
    let before = ledger(&stack).await;

    let dry = balanced(&stack, true).await;
    assert!(dry["posted"].as_i64() > Some(20), "{dry}");
    assert_eq!(ledger(&stack).await, before, "a dry run changes nothing");
    assert_eq!(count(&stack, "select count(*) from recoup.balance_transactions").await, 0);
    assert_eq!(count(&stack, "select count(*) from recoup.audit_log where actor = 'reconcile'").await, 0);

    let real = balanced(&stack, false).await;
    for field in ["listed", "payouts", "posted", "money", "differences"] {
        assert_eq!(real[field], dry[field], "{field}");
    }
    assert_eq!(ledger(&stack).await.len() as i64 - before.len() as i64, real["posted"].as_i64().unwrap());
    let audited: i64 = count(
        &stack,
        "select sum(jsonb_array_length(after))::bigint from recoup.audit_log
         where actor = 'reconcile' and action = 'post ledger entries' and subject like 'balance_transaction txn_%'",
    )
    .await;
    assert_eq!(json!(audited), real["posted"], "every posting is audited");

    // Stripe's own sums are the judge. A payout that is on its way has left Stripe's balance, and not the ledger's.
    let mut ours = balance_in_the_ledger(&stack).await;
    for (currency, sum) in &mut ours {
        *sum += total(&real, currency)["awaited"].as_i64().expect("an amount");
    }
    let stripe = balance_at_stripe(&stack);
    assert_eq!(ours, stripe);
    assert!(
        stripe.contains_key("jpy") && stripe.contains_key("kwd") && stripe.contains_key("usd"),
        "{stripe:?}"
    );
    for (currency, balance) in stripe {
        assert_eq!(total(&real, &currency)["net"], balance, "{currency}");
    }
    let unbalanced = "select count(*) from (
            select from recoup.ledger_balances group by account, currency having sum(balance) <> 0
        ) as unbalanced";
    assert_eq!(count(&stack, unbalanced).await, 0);

    let after = ledger(&stack).await;
    let again = balanced(&stack, false).await;
    assert_eq!((&again["posted"], &again["listed"]), (&json!(0), &real["listed"]), "{again}");
    assert_eq!(ledger(&stack).await, after);
    let runs = "select count(*) from recoup.reconciliations where scope = 'balance' and failed = 0";
    assert_eq!(count(&stack, runs).await, 3);
}
