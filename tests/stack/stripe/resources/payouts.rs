//! Payouts (<https://docs.stripe.com/api/payouts>): what a seller may do with one, and how it fares. Automatic ones
//! are in `payout_steps`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{balance, balance_transactions, fields, money};
use crate::stripe::agenda::Due;
use crate::stripe::errors::{ApiError, Result};
use crate::stripe::form::Params;
use crate::stripe::json;
use crate::stripe::kinds::Kind;
use crate::stripe::pages::{Filter, Sort};
use crate::stripe::world::Call;

pub const FILTERS: [Filter; 2] = [Filter::new("destination", Sort::Text), Filter::new("status", Sort::Text)];

/// A payout reaches the bank two days later.
const ARRIVES_AFTER_SECONDS: i64 = 2 * 24 * 3600;

/// What a payout is made from.
pub struct NewPayout {
    pub amount: i64,
    pub currency: String,
    pub automatic: bool,
}

/// A payout's object, not yet stored.
pub fn build(call: &mut Call, new: &NewPayout) -> Value {
    let id = call.new_id("po_1", 23);
    let description = if new.automatic { json!("STRIPE PAYOUT") } else { Value::Null };
    let reconciliation = if new.automatic { "in_progress" } else { "not_applicable" };
    json!({
        "id": &*id, "object": "payout", "amount": new.amount, "application_fee": null, "application_fee_amount": null,
        "arrival_date": call.now + ARRIVES_AFTER_SECONDS, "automatic": new.automatic, "balance_transaction": null,
        "created": call.now, "currency": new.currency, "description": description,
        "destination": bank_account(call), "failure_balance_transaction": null, "failure_code": null,
        "failure_message": null, "livemode": false, "metadata": {}, "method": "standard", "original_payout": null,
        "payout_method": null, "reconciliation_status": reconciliation, "reversed_by": null, "source_type": "card",
        "statement_descriptor": null, "status": "pending", "trace_id": { "status": "pending", "value": null },
        "type": "bank_account",
    })
}

/// The account's only bank account.
fn bank_account(call: &Call) -> String {
    format!("ba_1{}", call.account.trim_start_matches("acct_1"))
}

/// Stores a payout with its transaction and tells of it.
pub fn store(call: &mut Call, payout: &mut Value) -> Arc<str> {
    payout["balance_transaction"] = balance_transactions::post_payout(call, payout);
    let text = call.insert(Kind::Payout, payout);
    call.emit("payout.created", text.clone(), None);
    let id = payout["id"].as_str().unwrap_or_default().into();
    let at = payout["arrival_date"].as_i64().unwrap_or_default();
    call.books_mut().agenda.note(at, Due::PayoutArrives(id));
    text
}

pub fn create(call: &mut Call, params: Params) -> Result<Arc<str>> {
    params.allow(
        &["amount", "currency", "description", "metadata", "statement_descriptor"],
        &["destination", "method", "payout_method", "source_type"],
    )?;
    params.required("amount")?;
    let amount = money::positive(params, "amount")?.ok_or_else(|| ApiError::missing("amount"))?;
    let currency = money::currency(params)?;
    let available = balance::by_currency(call).get(&currency).map_or(0, |sums| sums.0);
    if amount > available {
        let message = "You have insufficient funds in your Stripe account for this transfer. Your card balance is too \
                       low. You can use the /v1/balance endpoint to view your Stripe balance (for more details, see \
                       stripe.com/docs/api#balance).";
        return Err(ApiError::refused(Some("balance_insufficient"), message, None));
    }
    let mut payout = build(call, &NewPayout { amount, currency, automatic: false });
    fields::set_texts(&mut payout, params, &["description", "statement_descriptor"])?;
    fields::set_metadata(&mut payout, params)?;
    Ok(store(call, &mut payout))
}

pub fn update(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(&["metadata"], &[])?;
    let old = call.find(Kind::Payout, id)?;
    let mut payout = old.clone();
    fields::set_metadata(&mut payout, params)?;
    Ok(call.update(Kind::Payout, &old, &payout, "payout.updated"))
}

pub fn cancel(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(&[], &[])?;
    let mut payout = call.find(Kind::Payout, id)?;
    if payout["status"] != "pending" || payout["automatic"] == true {
        let message = "Payouts can only be canceled while they are pending, and automatic ones not at all.";
        return Err(ApiError::refused(Some("payouts_not_allowed"), message, None));
    }
    payout["status"] = "canceled".into();
    payout["failure_balance_transaction"] =
        balance_transactions::post_payout_reversal(call, &payout, "payout_cancel");
    Ok(tell(call, &payout, "payout.canceled"))
}

/// Stores a payout's new state and tells of it.
pub fn tell(call: &mut Call, payout: &Value, event: &str) -> Arc<str> {
    let text = call.replace(Kind::Payout, payout);
    call.emit(event, text.clone(), None);
    text
}

/// It reaches the bank, unless it was stopped before.
pub fn arrive(call: &mut Call, id: &str) {
    let waits = call.get(Kind::Payout, id).filter(is_under_way);
    if let Some(mut payout) = waits {
        payout["status"] = "paid".into();
        payout["trace_id"] = json!({ "status": "supported", "value": format!("0{}", call.now) });
        tell(call, &payout, "payout.paid");
    }
}

fn is_under_way(payout: &Value) -> bool {
    payout["status"] == "pending" || payout["status"] == "in_transit"
}

/// The bank sends it back; even one that was paid may fail within days.
pub fn fail(call: &mut Call, id: &str) -> Result<Arc<str>> {
    let mut payout = call.find(Kind::Payout, id)?;
    if !is_under_way(&payout) && payout["status"] != "paid" {
        let status = payout["status"].as_str().unwrap_or_default();
        let message = format!("Payout {id} has a status of {status}, which is final.");
        return Err(ApiError::refused(None, message, None));
    }
    payout["status"] = "failed".into();
    payout["failure_code"] = "account_closed".into();
    payout["failure_message"] = "The bank account has been closed.".into();
    payout["failure_balance_transaction"] =
        balance_transactions::post_payout_reversal(call, &payout, "payout_failure");
    Ok(tell(call, &payout, "payout.failed"))
}

/// It reaches the bank now.
pub fn pay(call: &mut Call, id: &str) -> Result<Arc<str>> {
    let payout = call.find(Kind::Payout, id)?;
    if !is_under_way(&payout) {
        let status = payout["status"].as_str().unwrap_or_default();
        let message = format!("Payout {id} has a status of {status}: it is not under way.");
        return Err(ApiError::refused(None, message, None));
    }
    arrive(call, id);
    Ok(json::compact(&call.find(Kind::Payout, id)?).into())
}
