//! Refunds (<https://docs.stripe.com/api/refunds>).

use std::sync::Arc;

use serde_json::{Value, json};

use super::{balance_transactions, fields, money};
use crate::stripe::errors::{ApiError, Result};
use crate::stripe::form::Params;
use crate::stripe::json;
use crate::stripe::kinds::Kind;
use crate::stripe::pages::{Filter, Sort};
use crate::stripe::world::Call;

pub const FILTERS: [Filter; 2] = [
    Filter::new("charge", Sort::Id(Kind::Charge)),
    Filter::new("payment_intent", Sort::Id(Kind::PaymentIntent)),
];

/// What becomes of a new refund. Charges on Stripe's card `pm_card_pendingRefund` always start pending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RefundHabit {
    /// It succeeds at once.
    #[default]
    Succeed,
    /// It stays `pending` until a test action ends it.
    Pending,
    /// It stays `requires_action`, as with methods that need the buyer; only such a refund can be cancelled.
    RequiresAction,
}

/// What became of a refund that was not final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundOutcome {
    /// The buyer has the money.
    Succeeded,
    /// The buyer's bank sent it back; the charge counts as not refunded by it.
    Failed,
}

fn find_charge(call: &Call, params: Params) -> Result<Value> {
    let charge = match (params.text("charge")?, params.text("payment_intent")?) {
        (None, None) => {
            let message =
                "One of the following params should be provided for this request: payment_intent or charge.";
            return Err(ApiError::invalid(Some("parameter_missing"), message, "charge"));
        }
        (Some(charge), None) => call.referred(Kind::Charge, charge, "charge")?,
        (charge, Some(intent_id)) => {
            let intent = call.referred(Kind::PaymentIntent, intent_id, "payment_intent")?;
            let latest = &intent["latest_charge"];
            if charge.is_some_and(|charge| latest != charge) {
                let message = format!("The charge does not belong to the PaymentIntent {intent_id}.");
                return Err(ApiError::refused(None, message, Some("charge")));
            }
            let charge = if latest.is_null() { None } else { Some(call.linked(Kind::Charge, latest)) };
            charge.filter(|charge| charge["status"] == "succeeded" && charge["captured"] == true).ok_or_else(
                || {
                    let message = format!(
                        "This PaymentIntent ({intent_id}) does not have a successful charge to refund."
                    );
                    ApiError::refused(None, message, Some("payment_intent"))
                },
            )?
        }
    };
    let id = charge["id"].as_str().unwrap_or_default();
    if charge["refunded"] == true {
        let message = format!("Charge {id} has already been refunded.");
        return Err(ApiError::refused(Some("charge_already_refunded"), message, None));
    }
    if charge["status"] != "succeeded" || charge["captured"] != true {
        let message = format!("Charge {id} cannot be refunded: it has not been paid and captured.");
        return Err(ApiError::refused(Some("charge_not_refundable"), message, Some("charge")));
    }
    Ok(charge)
}

fn refundable_amount(charge: &Value, params: Params) -> Result<i64> {
    let captured = charge["amount_captured"].as_i64().unwrap_or_default();
    let refunded = charge["amount_refunded"].as_i64().unwrap_or_default();
    let left = captured - refunded;
    let amount = money::positive(params, "amount")?.unwrap_or(left);
    if amount > left {
        let currency = charge["currency"].as_str().unwrap_or_default();
        let what = if refunded > 0 { "unrefunded amount on charge" } else { "charge amount" };
        let (amount, left) = (money::display(amount, currency), money::display(left, currency));
        let message = format!("Refund amount ({amount}) is greater than {what} ({left})");
        return Err(ApiError::refused(None, message, Some("amount")));
    }
    Ok(amount)
}

pub fn create(call: &mut Call, params: Params) -> Result<Arc<str>> {
    params.allow(
        &["amount", "charge", "metadata", "payment_intent", "reason"],
        &[
            "currency",
            "customer",
            "instructions_email",
            "origin",
            "refund_application_fee",
            "reverse_transfer",
        ],
    )?;
    let charge = find_charge(call, params)?;
    let amount = refundable_amount(&charge, params)?;
    let reason = params.one_of("reason", &["duplicate", "fraudulent", "requested_by_customer"])?;
    let card = charge["payment_method_details"]["card"].is_object();
    let status = match call.world.refund_habit {
        RefundHabit::RequiresAction => "requires_action",
        RefundHabit::Pending => "pending",
        RefundHabit::Succeed if charge["payment_method_details"]["card"]["last4"] == "7726" => "pending",
        RefundHabit::Succeed => "succeeded",
    };
    let destination = if card {
        json!({ "type": "card", "card": {
            "reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund",
        } })
    } else {
        json!({ "type": "us_bank_transfer", "us_bank_transfer": {} })
    };
    let id = call.new_id(if card { "re_3" } else { "pyr_1" }, 23);
    let mut refund = json!({
        "id": &*id, "object": "refund", "amount": amount, "balance_transaction": null, "charge": charge["id"],
        "created": call.now, "currency": charge["currency"], "customer": null, "customer_account": null,
        "description": "REFUND FOR PAYMENT", "destination_details": destination, "metadata": {},
        "payment_intent": charge["payment_intent"], "payment_method": null, "reason": reason, "receipt_number": null,
        "source_transfer_reversal": null, "status": status, "transfer_reversal": null,
    });
    fields::set_metadata(&mut refund, params)?;
    if status != "requires_action" {
        refund["balance_transaction"] = balance_transactions::post_refund(call, &refund);
    }
    let fields = refund.as_object_mut().expect("a refund is an object");
    fields.remove("description");
    let text = call.insert(Kind::Refund, &refund);
    call.emit("refund.created", text.clone(), None);
    refund_charge(call, &charge, amount);
    if status == "succeeded" && card {
        tell_reference(call, &refund);
    }
    Ok(text)
}

fn refund_charge(call: &mut Call, old: &Value, amount: i64) {
    let mut charge = old.clone();
    let refunded = charge["amount_refunded"].as_i64().unwrap_or_default() + amount;
    charge["amount_refunded"] = refunded.into();
    charge["refunded"] = (charge["amount_captured"] == refunded).into();
    call.update(Kind::Charge, old, &charge, "charge.refunded");
}

/// The card network's reference for the refund becomes known: Stripe updates the refund a moment later, while
/// the answer to the request does not have it yet.
fn tell_reference(call: &mut Call, old: &Value) {
    let mut refund = old.clone();
    let card = &mut refund["destination_details"]["card"];
    card["reference"] = format!("79{}", call.now).into();
    card["reference_status"] = "available".into();
    tell_update(call, old, &refund);
}

/// A refund's change is told twice: by the event of its own, and by the older one named for its charge.
fn tell_update(call: &mut Call, old: &Value, refund: &Value) {
    let Some(previous) = json::previous_attributes(old, refund) else { return };
    let text = call.replace(Kind::Refund, refund);
    call.emit("refund.updated", text.clone(), Some(&previous));
    call.emit("charge.refund.updated", text, Some(&previous));
}

pub fn update(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(&["metadata"], &[])?;
    let old = call.find(Kind::Refund, id)?;
    let mut refund = old.clone();
    fields::set_metadata(&mut refund, params)?;
    tell_update(call, &old, &refund);
    Ok(json::compact(&refund).into())
}

pub fn cancel(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(&[], &[])?;
    let old = call.find(Kind::Refund, id)?;
    if old["status"] != "requires_action" {
        let status = old["status"].as_str().unwrap_or_default();
        let message = format!(
            "Refund {id} has a status of {status} and cannot be canceled. Only refunds with a status of requires_action \
             can be canceled."
        );
        return Err(ApiError::refused(None, message, None));
    }
    let mut refund = old.clone();
    refund["status"] = "canceled".into();
    give_back(call, &old);
    tell_update(call, &old, &refund);
    Ok(json::compact(&refund).into())
}

/// Ends a refund that was not final. `pm_card_refundFail` shows that even one that succeeded may fail later.
pub fn finish(call: &mut Call, id: &str, outcome: RefundOutcome) -> Result<Arc<str>> {
    let old = call.find(Kind::Refund, id)?;
    let mut refund = old.clone();
    let status = old["status"].as_str().unwrap_or_default();
    match (status, outcome) {
        ("pending" | "requires_action", RefundOutcome::Succeeded) => {
            refund["status"] = "succeeded".into();
            if refund["balance_transaction"].is_null() {
                refund["balance_transaction"] = balance_transactions::post_refund(call, &refund);
            }
            tell_update(call, &old, &refund);
        }
        ("pending" | "requires_action" | "succeeded", RefundOutcome::Failed) => {
            refund["status"] = "failed".into();
            refund["failure_reason"] = "lost_or_stolen_card".into();
            if !refund["balance_transaction"].is_null() {
                refund["failure_balance_transaction"] =
                    balance_transactions::post_refund_failure(call, &refund);
            }
            give_back(call, &old);
            tell_update(call, &old, &refund);
            let text: Arc<str> = json::compact(&refund).into();
            call.emit("refund.failed", text, None);
        }
        _ => {
            let message = format!("Refund {id} has a status of {status}, which is final.");
            return Err(ApiError::refused(None, message, None));
        }
    }
    Ok(json::compact(&refund).into())
}

/// The charge counts as not refunded by a refund that did not come about. Stripe has no event for it.
fn give_back(call: &mut Call, refund: &Value) {
    let mut charge = call.linked(Kind::Charge, &refund["charge"]);
    let refunded = charge["amount_refunded"].as_i64().unwrap_or_default()
        - refund["amount"].as_i64().unwrap_or_default();
    charge["amount_refunded"] = refunded.into();
    charge["refunded"] = false.into();
    call.replace(Kind::Charge, &charge);
}
