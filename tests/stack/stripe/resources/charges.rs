//! Charges: made by payment intents, never directly (<https://docs.stripe.com/api/charges>).

use std::sync::Arc;

use serde_json::{Value, json};

use super::test_methods::{self, Decline};
use super::{balance_transactions, fields};
use crate::stripe::errors::Result;
use crate::stripe::form::Params;
use crate::stripe::json;
use crate::stripe::kinds::Kind;
use crate::stripe::pages::{Filter, Page, Sort};
use crate::stripe::table::Query;
use crate::stripe::world::Call;

pub const FILTERS: [Filter; 3] = [
    Filter::new("customer", Sort::Id(Kind::Customer)),
    Filter::new("payment_intent", Sort::Id(Kind::PaymentIntent)),
    Filter::new("transfer_group", Sort::Text),
];

/// What becomes of an attempt to charge.
#[derive(Clone, Copy)]
pub enum Attempt {
    Captured,
    Authorized,
    /// The bank answers later.
    Pending,
    Declined(Decline),
}

/// Stores the charge of an attempt to pay an intent. Its balance transaction follows when the money moves.
pub fn create(call: &mut Call, intent: &Value, method: &Value, attempt: Attempt) -> Value {
    let amount = intent["amount"].as_i64().unwrap_or_default();
    let id = call.new_id(if test_methods::is_delayed(method) { "py_3" } else { "ch_3" }, 23);
    let (status, outcome) = match attempt {
        Attempt::Captured | Attempt::Authorized => ("succeeded", approved()),
        Attempt::Pending => ("pending", approved()),
        Attempt::Declined((_, decline_code, message)) => ("failed", refused(decline_code, message)),
    };
    let failure = match attempt {
        Attempt::Declined((code, _, message)) => (Some(code), Some(message)),
        _ => (None, None),
    };
    let captured = matches!(attempt, Attempt::Captured | Attempt::Pending);
    let moved = matches!(attempt, Attempt::Captured);
    let receipt = format!("https://pay.stripe.com/receipts/payment/{id}");
    let charge = json!({
        "id": &*id, "object": "charge", "amount": amount, "amount_captured": if moved { amount } else { 0 },
        "amount_refunded": 0, "application": null, "application_fee": null, "application_fee_amount": null,
        "balance_transaction": null, "billing_details": method["billing_details"],
        "calculated_statement_descriptor": intent["statement_descriptor"], "captured": captured, "created": call.now,
        "currency": intent["currency"], "customer": intent["customer"], "description": intent["description"],
        "disputed": false, "failure_balance_transaction": null, "failure_code": failure.0,
        "failure_message": failure.1, "fraud_details": {}, "livemode": false, "metadata": intent["metadata"],
        "on_behalf_of": null, "outcome": outcome, "paid": matches!(attempt, Attempt::Captured | Attempt::Authorized),
        "payment_intent": intent["id"], "payment_method": method["id"],
        "payment_method_details": test_methods::details(method, amount), "receipt_email": intent["receipt_email"],
        "receipt_number": null, "receipt_url": if moved { Some(receipt) } else { None }, "refunded": false,
        "review": null, "shipping": intent["shipping"], "source": null, "source_transfer": null,
        "statement_descriptor": intent["statement_descriptor"],
        "statement_descriptor_suffix": intent["statement_descriptor_suffix"], "status": status, "transfer_data": null,
        "transfer_group": intent["transfer_group"],
    });
    call.insert(Kind::Charge, &charge);
    charge
}

pub fn approved() -> Value {
    json!({
        "advice_code": null, "network_advice_code": null, "network_decline_code": null,
        "network_status": "approved_by_network", "reason": null, "risk_level": "normal", "risk_score": 12,
        "seller_message": "Payment complete.", "type": "authorized",
    })
}

pub fn refused(reason: &str, message: &str) -> Value {
    json!({
        "advice_code": "try_again_later", "network_advice_code": null, "network_decline_code": "05",
        "network_status": "declined_by_network", "reason": reason, "risk_level": "normal", "risk_score": 12,
        "seller_message": message, "type": "issuer_declined",
    })
}

/// Posts the captured amount to the balance. Stripe does so after it has told of the success, and tells of
/// the transaction by `charge.updated`.
pub fn post_to_balance(call: &mut Call, charge: &Value) -> Value {
    let mut posted = charge.clone();
    let amount = charge["amount_captured"].as_i64().unwrap_or_default();
    let at_once = call.get(Kind::PaymentMethod, charge["payment_method"].as_str().unwrap_or_default());
    let at_once = at_once.is_some_and(|method| test_methods::is_available_at_once(&method));
    posted["balance_transaction"] = balance_transactions::post_charge(call, charge, amount, at_once);
    call.update(Kind::Charge, charge, &posted, "charge.updated");
    posted
}

/// The newest refunds of a charge as the list inside it.
pub fn embedded_refunds(call: &Call, charge: &Value) -> Value {
    let id = charge["id"].as_str().unwrap_or_default();
    let query = Query { clauses: vec![vec![("charge", id.into())]], limit: 10, ..Query::default() };
    let (items, has_more) = match call.books().table(Kind::Refund) {
        Some(refunds) => refunds.page(&query),
        None => (Vec::new(), false),
    };
    let items = items.into_iter().cloned().collect();
    json::parse(&Page { items, has_more, url: format!("/v1/charges/{id}/refunds") }.render())
}

pub fn update(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(
        &["description", "metadata", "receipt_email", "shipping", "transfer_group"],
        &["customer", "fraud_details"],
    )?;
    let old = call.find(Kind::Charge, id)?;
    let mut charge = old.clone();
    fields::set_texts(&mut charge, params, &["description", "receipt_email", "transfer_group"])?;
    fields::set_shipping(&mut charge, params)?;
    fields::set_metadata(&mut charge, params)?;
    Ok(call.update(Kind::Charge, &old, &charge, "charge.updated"))
}
