//! Balance transactions: what payments, refunds, disputes and payouts do to the balance
//! (<https://docs.stripe.com/api/balance_transactions>).

use std::sync::Arc;

use serde_json::{Value, json};

use super::money;
use crate::stripe::errors::{ApiError, Result};
use crate::stripe::form::Params;
use crate::stripe::json;
use crate::stripe::kinds::Kind;
use crate::stripe::pages::{self, Filter, Reply, Sort};
use crate::stripe::world::Call;

const FILTERS: [Filter; 4] = [
    Filter::new("currency", Sort::Text),
    Filter::new("payout", Sort::Id(Kind::Payout)),
    Filter::new("source", Sort::Text),
    Filter::new("type", Sort::Text),
];

/// Funds can be paid out two days after a payment.
const AVAILABLE_AFTER_SECONDS: i64 = 2 * 24 * 3600;

/// Posts a payment of `amount`, Stripe's fee with it; gives the transaction's id. `at_once` is for test cards whose
/// funds need not wait.
pub fn post_charge(call: &mut Call, charge: &Value, amount: i64, at_once: bool) -> Value {
    // Stripe calls cards' transactions charges, and everybody else's payments; both report as charges.
    let kind =
        if charge["id"].as_str().is_some_and(|id| id.starts_with("py_")) { "payment" } else { "charge" };
    let fee = money::fee(amount);
    let details = json!([{
        "amount": fee, "application": null, "currency": charge["currency"], "description": "Stripe processing fees",
        "type": "stripe_fee",
    }]);
    let after = if at_once { 0 } else { AVAILABLE_AFTER_SECONDS };
    post(call, charge, amount, (kind, "charge"), fee, &details, after)["id"].clone()
}

/// Posts a refund: the amount leaves the balance, Stripe keeps its fee.
pub fn post_refund(call: &mut Call, refund: &Value) -> Value {
    let amount = -refund["amount"].as_i64().unwrap_or_default();
    post(call, refund, amount, ("refund", "refund"), 0, &json!([]), 0)["id"].clone()
}

/// Posts a refund that did not reach the buyer: the amount comes back.
pub fn post_refund_failure(call: &mut Call, refund: &Value) -> Value {
    let amount = refund["amount"].as_i64().unwrap_or_default();
    post(call, refund, amount, ("refund_failure", "refund_failure"), 0, &json!([]), 0)["id"].clone()
}

/// What Stripe takes for a dispute, in minor units of its currency.
const DISPUTE_FEE: i64 = 1500;

/// Posts what a dispute takes (`withdrawn`) or gives back, with its fee; gives the transaction.
pub fn post_dispute(call: &mut Call, dispute: &Value, withdrawn: bool) -> Value {
    let amount = dispute["amount"].as_i64().unwrap_or_default();
    let charge = dispute["charge"].as_str().unwrap_or_default();
    let (amount, fee, category, what) = match withdrawn {
        true => (-amount, DISPUTE_FEE, "dispute", "withdrawal"),
        false => (amount, -DISPUTE_FEE, "dispute_reversal", "reversal"),
    };
    let details = json!([{
        "amount": fee, "application": null, "currency": dispute["currency"], "description": "Dispute fee",
        "type": "stripe_fee",
    }]);
    let mut source = dispute.clone();
    source["description"] = format!("Chargeback {what} for {charge}").into();
    post(call, &source, amount, ("adjustment", category), fee, &details, 0)
}

/// Posts a payout: the amount leaves for the bank.
pub fn post_payout(call: &mut Call, payout: &Value) -> Value {
    let amount = -payout["amount"].as_i64().unwrap_or_default();
    post(call, payout, amount, ("payout", "payout"), 0, &json!([]), 0)["id"].clone()
}

/// Posts a payout that did not reach the bank, as `payout_cancel` or `payout_failure`: the amount comes back.
pub fn post_payout_reversal(call: &mut Call, payout: &Value, kind: &str) -> Value {
    let amount = payout["amount"].as_i64().unwrap_or_default();
    post(call, payout, amount, (kind, "payout_reversal"), 0, &json!([]), 0)["id"].clone()
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
    transaction
}

/// `GET /v1/balance_transactions`. `payout` gives those that an automatic payout paid out, and its own.
pub fn list(call: &Call, params: Params) -> Result<Reply> {
    if let Some(payout) = params.text("payout")?
        && call.get(Kind::Payout, payout).is_some_and(|payout| payout["automatic"] == false)
    {
        let message = "Balance transaction history can only be filtered on automatic transfers, not manual.";
        return Err(ApiError::refused(None, message, Some("payout")));
    }
    pages::list(call, Kind::BalanceTransaction, params, "/v1/balance_transactions", &FILTERS)
}

/// Notes which automatic payout paid a transaction out; Stripe tells it only by that filter.
pub fn assign_to_payout(call: &mut Call, transaction: &mut Value, payout: &Value) {
    transaction["payout"] = payout["id"].clone();
    call.replace(Kind::BalanceTransaction, transaction);
}

/// All transactions as they read now, oldest first, with `payout` where one is known.
pub fn all(call: &Call) -> Vec<Value> {
    let Some(table) = call.books().table(Kind::BalanceTransaction) else { return Vec::new() };
    let mut all: Vec<Value> = table.bodies().map(|text| json::parse(text)).collect();
    for transaction in &mut all {
        settle(transaction, call.now);
    }
    all
}

fn settle(transaction: &mut Value, now: i64) {
    if transaction["available_on"].as_i64().is_some_and(|at| at <= now) {
        transaction["status"] = "available".into();
    }
}

/// A transaction as a reader sees it now: pending until its funds are available.
pub fn present(text: Arc<str>, now: i64) -> Arc<str> {
    if !text.contains(r#""status":"pending""#) && !text.contains(r#""payout":"#) {
        return text;
    }
    let mut transaction = json::parse(&text);
    settle(&mut transaction, now);
    if let Some(fields) = transaction.as_object_mut() {
        fields.remove("payout");
    }
    json::compact(&transaction).into()
}
