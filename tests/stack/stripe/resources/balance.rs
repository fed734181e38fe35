//! The balance: the sum of its transactions by currency (<https://docs.stripe.com/api/balance>).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::balance_transactions;
use crate::stripe::json;
use crate::stripe::world::Call;

/// What can be paid out and what cannot yet, in minor units of each currency.
pub fn by_currency(call: &Call) -> BTreeMap<String, (i64, i64)> {
    let mut sums: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for transaction in balance_transactions::all(call) {
        let currency = transaction["currency"].as_str().unwrap_or_default();
        let net = transaction["net"].as_i64().unwrap_or_default();
        let (available, pending) = sums.entry(currency.to_owned()).or_default();
        if transaction["status"] == "available" { *available += net } else { *pending += net }
    }
    sums
}

/// `GET /v1/balance`.
pub fn retrieve(call: &Call) -> Arc<str> {
    let mut sums = by_currency(call);
    if sums.is_empty() {
        sums.insert("usd".to_owned(), (0, 0));
    }
    let amounts = |of: fn(&(i64, i64)) -> i64| -> Vec<Value> {
        let amount = |(currency, sums)| {
            let amount = of(sums);
            json!({ "amount": amount, "currency": currency, "source_types": { "card": amount } })
        };
        sums.iter().map(amount).collect()
    };
    let balance = json!({
        "object": "balance", "available": amounts(|sums| sums.0), "livemode": false, "pending": amounts(|sums| sums.1),
    });
    json::compact(&balance).into()
}
