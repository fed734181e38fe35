//! Disputes (<https://docs.stripe.com/api/disputes>): what a seller may do with one. How it goes on is in
//! `dispute_steps`.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{balance_transactions, dispute_steps, fields, test_methods};
use crate::stripe::errors::{ApiError, Result};
use crate::stripe::form::Params;
use crate::stripe::kinds::Kind;
use crate::stripe::pages::{Filter, Sort};
use crate::stripe::world::Call;

pub const FILTERS: [Filter; 2] = [
    Filter::new("charge", Sort::Id(Kind::Charge)),
    Filter::new("payment_intent", Sort::Id(Kind::PaymentIntent)),
];

const EVIDENCE: [&str; 27] = [
    "access_activity_log",
    "billing_address",
    "cancellation_policy",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_communication",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "customer_signature",
    "duplicate_charge_documentation",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "receipt",
    "refund_policy",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "service_documentation",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_documentation",
    "shipping_tracking_number",
    "uncategorized_file",
    "uncategorized_text",
];

/// Days that a seller has to answer.
const ANSWER_SECONDS: i64 = 9 * 24 * 3600;

/// Opens the dispute of a charge on a test card that is always disputed.
pub fn open_if_due(call: &mut Call, charge: &Value) {
    let method = call.get(Kind::PaymentMethod, charge["payment_method"].as_str().unwrap_or_default());
    if let Some((reason, inquiry)) = method.as_ref().and_then(test_methods::dispute) {
        open(call, charge, reason, inquiry);
    }
}

/// The buyer's bank disputes a charge, or asks about it first.
pub fn open(call: &mut Call, charge: &Value, reason: &str, inquiry: bool) -> Value {
    let id = call.new_id(if inquiry { "dp_1" } else { "du_1" }, 23);
    let evidence: Map<String, Value> = EVIDENCE
        .iter()
        .map(|name| ((*name).to_owned(), Value::Null))
        .chain([("enhanced_evidence".to_owned(), json!({}))])
        .collect();
    let brand = charge["payment_method_details"]["card"]["brand"].clone();
    let mut dispute = json!({
        "id": &*id, "object": "dispute", "amount": charge["amount_captured"], "balance_transactions": [],
        "charge": charge["id"], "created": call.now, "currency": charge["currency"],
        "enhanced_eligibility_types": [], "evidence": evidence,
        "evidence_details": {
            "due_by": call.now + ANSWER_SECONDS, "enhanced_eligibility": {}, "has_evidence": false, "past_due": false,
            "submission_count": 0,
        },
        "is_charge_refundable": inquiry, "livemode": false, "metadata": {}, "payment_intent": charge["payment_intent"],
        "payment_method_details": { "type": "card", "card": {
            "brand": brand, "case_type": if inquiry { "inquiry" } else { "chargeback" }, "network": brand,
            "network_reason_code": "83",
        } },
        "reason": reason, "status": if inquiry { "warning_needs_response" } else { "needs_response" },
    });
    let text = call.insert(Kind::Dispute, &dispute);
    call.emit("charge.dispute.created", text, None);
    // Stripe has no event for the charge's mark.
    let mut disputed = charge.clone();
    disputed["disputed"] = true.into();
    call.replace(Kind::Charge, &disputed);
    if !inquiry {
        dispute_steps::withdraw(call, &mut dispute);
    }
    dispute
}

/// Adds a movement of money to a dispute and tells of it.
pub fn move_funds(call: &mut Call, dispute: &mut Value, withdrawn: bool) {
    let transaction = balance_transactions::post_dispute(call, dispute, withdrawn);
    let old = dispute.clone();
    dispute["balance_transactions"].as_array_mut().expect("it was made as a list").push(transaction);
    let event = if withdrawn { "charge.dispute.funds_withdrawn" } else { "charge.dispute.funds_reinstated" };
    call.update(Kind::Dispute, &old, dispute, event);
}

pub fn update(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(&["evidence", "metadata", "submit"], &[])?;
    let old = call.find(Kind::Dispute, id)?;
    let mut dispute = old.clone();
    fields::set_metadata(&mut dispute, params)?;
    if let Some(entries) = params.entries("evidence")? {
        if !dispute_steps::is_open(&old) {
            let message = "This dispute is already closed. You cannot submit evidence for it.";
            return Err(ApiError::refused(None, message, Some("evidence")));
        }
        let evidence = Params::at(entries, "evidence");
        evidence.allow(&EVIDENCE, &["enhanced_evidence"])?;
        fields::set_texts(&mut dispute["evidence"], evidence, &EVIDENCE)?;
        dispute["evidence_details"]["has_evidence"] = true.into();
    }
    // As in Stripe, evidence that is given is submitted unless it is said otherwise.
    let submit = params.boolean("submit")?.unwrap_or(params.has("evidence"));
    if submit && dispute_steps::is_open(&old) {
        let details = &mut dispute["evidence_details"];
        details["submission_count"] = (details["submission_count"].as_i64().unwrap_or_default() + 1).into();
        let inquiry = dispute["status"] == "warning_needs_response";
        dispute["status"] = if inquiry { "warning_under_review" } else { "under_review" }.into();
    }
    call.update(Kind::Dispute, &old, &dispute, "charge.dispute.updated");
    if submit {
        dispute_steps::judge(call, &mut dispute);
    }
    Ok(crate::stripe::json::compact(&dispute).into())
}

/// `POST /v1/disputes/:id/close`: the seller gives in.
pub fn close(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(&[], &[])?;
    let mut dispute = call.find(Kind::Dispute, id)?;
    if !dispute_steps::is_open(&dispute) {
        let message = "This dispute is already closed.";
        return Err(ApiError::refused(None, message, None));
    }
    dispute_steps::end(call, &mut dispute, false);
    Ok(crate::stripe::json::compact(&dispute).into())
}
