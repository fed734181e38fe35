//! A stack with a history, and runs of `balance` over all of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stack::lambda::Reply;
use stack::{Stack, StackBuilder};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::reconcile_objects::life::Life;
use crate::support::{eager, settle, succeeded};

/// Webhook and reconcile, without a limit of their own.
pub fn builder() -> StackBuilder {
    eager().functions(["webhook", "reconcile"]).env("webhook", "STRIPE_ACCOUNTS", "all").env(
        "reconcile",
        "STRIPE_RATE_SHARE_PERCENT",
        "none",
    )
}

/// Some weeks in which all kinds of things happened; every event came.
pub async fn history(stack: &Stack, seed: u64, steps: u32) {
    let mut life = Life::begin(&stack.stripe, seed, false);
    life.go_on(steps);
    life.rest();
    settle(stack).await;
}

/// An instant so many days ago, as a request has it.
pub fn days_ago(days: i64) -> String {
    (OffsetDateTime::now_utc() - Duration::days(days)).format(&Rfc3339).expect("an instant")
}

/// A request for everything up to now.
pub fn everything(dry_run: bool) -> Value {
    json!({"action": "balance", "from": days_ago(40), "to": days_ago(-1), "dry_run": dry_run})
}

/// Runs it.
pub async fn ask(stack: &Stack, request: Value) -> Reply {
    stack.invoke("reconcile", request).await.expect("invoked")
}

/// A run that finds everything explained.
pub async fn balanced(stack: &Stack, dry_run: bool) -> Value {
    let reply = succeeded(ask(stack, everything(dry_run)).await);
    assert_eq!((&reply["differences"], &reply["drift"]), (&json!(0), &json!(false)), "{reply}");
    reply
}

/// The ledger, every entry a line.
pub async fn ledger(stack: &Stack) -> Vec<String> {
    sqlx::query_scalar("select concat_ws(' ', entry) from recoup.ledger_entries as entry order by 1")
        .fetch_all(&stack.pool)
        .await
        .expect("the ledger")
}

/// What Stripe's balance is by its own word, available and pending, by currency.
pub fn balance_at_stripe(stack: &Stack) -> BTreeMap<String, i64> {
    let balance = stack.stripe.request("GET", "/v1/balance", "").expect("the balance");
    let mut sums = BTreeMap::new();
    for part in ["available", "pending"] {
        for amount in balance[part].as_array().expect("amounts") {
            let currency = amount["currency"].as_str().expect("a currency").to_owned();
            *sums.entry(currency).or_default() += amount["amount"].as_i64().expect("an amount");
        }
    }
    sums
}

/// What the ledger says is at Stripe, by currency.
pub async fn balance_in_the_ledger(stack: &Stack) -> BTreeMap<String, i64> {
    let sums: Vec<(String, i64)> = sqlx::query_as(
        "select currency, balance::bigint from recoup.ledger_balances
         where ledger_account = 'stripe_balance' and account is null",
    )
    .fetch_all(&stack.pool)
    .await
    .expect("the ledger");
    sums.into_iter().collect()
}

/// A balance transaction that Stripe makes by itself.
pub fn transaction(id: &str, category: &str, amount: i64, fee: i64, currency: &str, created: i64) -> Value {
    json!({
        "id": id, "object": "balance_transaction", "amount": amount, "available_on": created,
        "balance_type": "payments", "created": created, "currency": currency, "description": null,
        "exchange_rate": null, "fee": fee, "fee_details": [], "net": amount - fee, "reporting_category": category,
        "source": null, "status": "available", "type": "adjustment",
    })
}
