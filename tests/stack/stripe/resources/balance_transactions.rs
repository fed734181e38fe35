//! Balance transactions: what payments and refunds do to the balance
//! (<https://docs.stripe.com/api/balance_transactions>).

use std::sync::Arc;

use serde_json::{Value, json};

use super::money;
use crate::stripe::json;
use crate::stripe::kinds::Kind;
use crate::stripe::pages::{Filter, Sort};
use crate::stripe::world::Call;

pub const FILTERS: [Filter; 3] =
    [Filter::new("currency", Sort::Text), Filter::new("source", Sort::Text), Filter::new("type", Sort::Text)];

/// Funds can be paid out two days after a payment.
const AVAILABLE_AFTER_SECONDS: i64 = 2 * 24 * 3600;

/// Posts a payment of `amount`, Stripe's fee with it; gives the transaction's id.
pub fn post_charge(call: &mut Call, charge: &Value, amount: i64) -> Value {
    // Stripe calls cards' transactions charges, and everybody else's payments; both report as charges.
    let kind =
        if charge["id"].as_str().is_some_and(|id| id.starts_with("py_")) { "payment" } else { "charge" };
    let fee = money::fee(amount);
    let details = json!([{
        "amount": fee, "application": null, "currency": charge["currency"], "description": "Stripe processing fees",
        "type": "stripe_fee",
    }]);
    post(call, charge, amount, (kind, "charge"), fee, &details, AVAILABLE_AFTER_SECONDS)
}

/// Posts a refund: the amount leaves the balance, Stripe keeps its fee.
pub fn post_refund(call: &mut Call, refund: &Value) -> Value {
    let amount = -refund["amount"].as_i64().unwrap_or_default();
    post(call, refund, amount, ("refund", "refund"), 0, &json!([]), 0)
}

/// Posts a refund that did not reach the buyer: the amount comes back.
pub fn post_refund_failure(call: &mut Call, refund: &Value) -> Value {
    let amount = refund["amount"].as_i64().unwrap_or_default();
    post(call, refund, amount, ("refund_failure", "refund_failure"), 0, &json!([]), 0)
}

fn post(
    call: &mut Call,
    source: &Value,
    amount: i64,
    (kind, category): (&str, &str),
    fee: i64,
    fee_details: &Value,
    available_after: i64,
) -> Value {
    let id = call.new_id("txn_3", 23);
    let status = if available_after > 0 { "pending" } else { "available" };
    let transaction = json!({
        "id": &*id, "object": "balance_transaction", "amount": amount, "available_on": call.now + available_after,
        "balance_type": "payments", "created": call.now, "currency": source["currency"],
        "description": source["description"], "exchange_rate": null, "fee": fee, "fee_details": fee_details,
        "net": amount - fee, "reporting_category": category, "source": source["id"], "status": status, "type": kind,
    });
    call.insert(Kind::BalanceTransaction, &transaction);
    transaction["id"].clone()
}

/// A transaction as it reads now: pending until its funds are available.
pub fn present(text: Arc<str>, now: i64) -> Arc<str> {
    if !text.contains(r#""status":"pending""#) {
        return text;
    }
    let mut transaction = json::parse(&text);
    if transaction["available_on"].as_i64().is_some_and(|at| at > now) {
        return text;
    }
    transaction["status"] = "available".into();
    json::compact(&transaction).into()
}
