//! The steps of a payment, shared by payment intents that a server confirms and carts that a buyer pays.

use serde_json::{Value, json};

use super::charges::{self, Attempt};
use super::{disputes, invoice_steps, test_methods};
use crate::stripe::agenda::Due;
use crate::stripe::errors::{ApiError, Result};
use crate::stripe::json;
use crate::stripe::kinds::Kind;
use crate::stripe::world::Call;

/// Stores an intent's new state and tells of it.
fn tell(call: &mut Call, intent: &Value, event: &str) {
    let text = call.replace(Kind::PaymentIntent, intent);
    call.emit(event, text, None);
}

fn tell_charge(call: &mut Call, charge: &Value, event: &str, previous: Option<&Value>) {
    let text = call.replace(Kind::Charge, charge);
    call.emit(event, text, previous);
}

/// Whether the buyer is there while a payment is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// They can be asked to confirm it.
    OnSession,
    /// They cannot.
    OffSession,
}

/// Pays an intent that waits for it. A decline is stored, told, and returned as the error.
pub fn pay(call: &mut Call, intent: &Value, method: &Value, presence: Presence) -> Result<Value> {
    let mut intent = intent.clone();
    let amount = intent["amount"].clone();
    let authenticate = test_methods::needs_authentication(method);
    if authenticate && presence == Presence::OnSession {
        return Ok(require_action(call, intent, method));
    }
    let attempt = match test_methods::decline(method) {
        _ if authenticate => Attempt::Declined(test_methods::NOT_AUTHENTICATED),
        Some(decline) => Attempt::Declined(decline),
        None if test_methods::is_delayed(method) => Attempt::Pending,
        None if intent["capture_method"] == "manual" => Attempt::Authorized,
        None => Attempt::Captured,
    };
    attempt_to_pay(call, &mut intent, method, attempt, &amount).map(|()| intent)
}

fn attempt_to_pay(
    call: &mut Call,
    intent: &mut Value,
    method: &Value,
    attempt: Attempt,
    amount: &Value,
) -> Result<()> {
    let charge = charges::create(call, intent, method, attempt);
    intent["latest_charge"] = charge["id"].clone();
    intent["payment_method"] = method["id"].clone();
    intent["last_payment_error"] = Value::Null;
    intent["next_action"] = Value::Null;
    match attempt {
        Attempt::Declined(decline) => return Err(fail(call, intent.clone(), &charge, method, decline)),
        Attempt::Pending => {
            intent["status"] = "processing".into();
            tell(call, intent, "payment_intent.processing");
            tell_charge(call, &charge, "charge.pending", None);
            if let Some((seconds, paid)) = test_methods::bank_answer(method) {
                let intent = intent["id"].as_str().unwrap_or_default().into();
                let at = call.now + seconds;
                call.books_mut().agenda.note(at, Due::BankAnswers { intent, paid });
            }
        }
        Attempt::Authorized => {
            intent["status"] = "requires_capture".into();
            intent["amount_capturable"] = amount.clone();
            tell_charge(call, &charge, "charge.succeeded", None);
            tell(call, intent, "payment_intent.amount_capturable_updated");
        }
        Attempt::Captured => succeed(call, intent, &charge),
    }
    Ok(())
}

/// The buyer is asked to confirm the payment.
fn require_action(call: &mut Call, mut intent: Value, method: &Value) -> Value {
    intent["payment_method"] = method["id"].clone();
    intent["status"] = "requires_action".into();
    intent["next_action"] = json!({ "type": "use_stripe_sdk", "use_stripe_sdk": {
        "type": "three_d_secure_redirect", "source": format!("src_{}", call.new_id("", 24)),
        "stripe_js": "https://hooks.stripe.com/3d_secure_2/hosted",
    } });
    tell(call, &intent, "payment_intent.requires_action");
    invoice_steps::hear_of_action(call, &intent);
    intent
}

/// The buyer confirmed a payment that waited for them, or did not.
pub fn authenticate(call: &mut Call, intent: &Value, confirmed: bool) -> Result<Value> {
    if intent["status"] != "requires_action" {
        return Err(unexpected(intent, "authenticate", "requires_action"));
    }
    let mut intent = intent.clone();
    let method = call.linked(Kind::PaymentMethod, &intent["payment_method"]);
    let amount = intent["amount"].clone();
    if !confirmed {
        let (code, message) = (
            "payment_intent_authentication_failure",
            "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new \
             PaymentMethod to attempt to fulfill this PaymentIntent again.",
        );
        let error = ApiError::refused(Some(code), message, None).with("payment_method", method);
        intent["status"] = "requires_payment_method".into();
        intent["payment_method"] = Value::Null;
        intent["next_action"] = Value::Null;
        intent["last_payment_error"] = error.fields();
        tell(call, &intent, "payment_intent.payment_failed");
        invoice_steps::hear_of_failure(call, &intent);
        return Ok(intent);
    }
    let attempt = if intent["capture_method"] == "manual" { Attempt::Authorized } else { Attempt::Captured };
    attempt_to_pay(call, &mut intent, &method, attempt, &amount).map(|()| intent)
}

/// Tells that the money of a captured charge is there, then posts it to the balance; whatever waited for the
/// payment goes on.
fn succeed(call: &mut Call, intent: &mut Value, charge: &Value) {
    intent["status"] = "succeeded".into();
    intent["amount_received"] = charge["amount_captured"].clone();
    tell_charge(call, charge, "charge.succeeded", None);
    tell(call, intent, "payment_intent.succeeded");
    let charge = charges::post_to_balance(call, charge);
    invoice_steps::hear_of_payment(call, intent);
    disputes::open_if_due(call, &charge);
}

fn fail(
    call: &mut Call,
    mut intent: Value,
    charge: &Value,
    method: &Value,
    (code, decline_code, message): test_methods::Decline,
) -> ApiError {
    let error = ApiError::card(code, decline_code, message)
        .with("charge", charge["id"].clone())
        .with("payment_method", method.clone());
    // A payment that failed needs another method; the one that failed is named in the error only.
    intent["status"] = "requires_payment_method".into();
    intent["payment_method"] = Value::Null;
    intent["last_payment_error"] = error.fields();
    tell_charge(call, charge, "charge.failed", None);
    tell(call, &intent, "payment_intent.payment_failed");
    invoice_steps::hear_of_failure(call, &intent);
    error.with("payment_intent", intent)
}

/// Ends a delayed payment: the bank paid, or it did not.
pub fn finish_delayed(call: &mut Call, intent: &Value, paid: bool) -> Result<Value> {
    if intent["status"] != "processing" {
        return Err(unexpected(intent, "end the delayed payment of", "processing"));
    }
    let mut intent = intent.clone();
    let mut charge = call.linked(Kind::Charge, &intent["latest_charge"]);
    if paid {
        charge["status"] = "succeeded".into();
        charge["paid"] = true.into();
        charge["amount_captured"] = charge["amount"].clone();
        succeed(call, &mut intent, &charge);
        return Ok(intent);
    }
    let method = call.linked(Kind::PaymentMethod, &intent["payment_method"]);
    let message = "The customer's bank account could not be debited.";
    let decline = ("payment_intent_payment_attempt_failed", "insufficient_funds", message);
    charge["status"] = "failed".into();
    charge["captured"] = false.into();
    charge["failure_code"] = decline.0.into();
    charge["failure_message"] = message.into();
    charge["outcome"] = charges::refused(decline.1, message);
    let id = intent["id"].clone();
    fail(call, intent, &charge, &method, decline);
    Ok(call.linked(Kind::PaymentIntent, &id))
}

/// Takes up to the authorized amount; what is left is released.
pub fn capture(call: &mut Call, intent: &Value, amount: Option<i64>) -> Result<Value> {
    if intent["status"] != "requires_capture" {
        return Err(unexpected(intent, "capture", "requires_capture"));
    }
    let capturable = intent["amount_capturable"].as_i64().unwrap_or_default();
    let amount = amount.unwrap_or(capturable);
    if amount > capturable {
        let message =
            "The requested capture amount is greater than the amount you can capture for this charge.";
        return Err(ApiError::refused(Some("amount_too_large"), message, Some("amount_to_capture")));
    }
    let mut intent = intent.clone();
    let old = call.linked(Kind::Charge, &intent["latest_charge"]);
    let mut charge = old.clone();
    charge["captured"] = true.into();
    charge["amount_captured"] = amount.into();
    charge["receipt_url"] =
        format!("https://pay.stripe.com/receipts/payment/{}", charge["id"].as_str().unwrap_or_default())
            .into();
    intent["status"] = "succeeded".into();
    intent["amount_capturable"] = 0.into();
    intent["amount_received"] = amount.into();
    let previous = json::previous_attributes(&old, &charge);
    tell_charge(call, &charge, "charge.captured", previous.as_ref());
    tell(call, &intent, "payment_intent.succeeded");
    charges::post_to_balance(call, &charge);
    Ok(intent)
}

/// Cancels an intent that has not been paid; an authorization is released.
pub fn cancel(call: &mut Call, intent: &Value, reason: Option<&str>) -> Result<Value> {
    let cancelable =
        ["requires_payment_method", "requires_confirmation", "requires_action", "requires_capture"];
    if !cancelable.iter().any(|status| intent["status"] == *status) {
        return Err(unexpected(intent, "cancel", &cancelable.join(", ")));
    }
    let mut intent = intent.clone();
    if intent["status"] == "requires_capture" {
        let old = call.linked(Kind::Charge, &intent["latest_charge"]);
        let mut charge = old.clone();
        charge["amount_refunded"] = charge["amount"].clone();
        charge["refunded"] = true.into();
        let previous = json::previous_attributes(&old, &charge);
        tell_charge(call, &charge, "charge.refunded", previous.as_ref());
    }
    intent["status"] = "canceled".into();
    intent["amount_capturable"] = 0.into();
    intent["canceled_at"] = call.now.into();
    intent["cancellation_reason"] = reason.into();
    tell(call, &intent, "payment_intent.canceled");
    Ok(intent)
}

/// The refusal of a step that an intent's status does not allow.
pub fn unexpected(intent: &Value, step: &str, needed: &str) -> ApiError {
    let status = intent["status"].as_str().unwrap_or_default();
    let message = format!(
        "You cannot {step} this PaymentIntent because it has a status of {status}. Only a PaymentIntent with one of the \
         following statuses may be used so: {needed}."
    );
    ApiError::refused(Some("payment_intent_unexpected_state"), message, None)
        .with("payment_intent", json!(intent))
}
