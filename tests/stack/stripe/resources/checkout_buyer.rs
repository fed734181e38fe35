//! What a buyer does on a checkout page. Stripe has no API for it: these are test actions.

use std::sync::Arc;

use serde_json::{Value, json};

use super::customers::{self, NewCustomer};
use super::payment_intents::{self, NewIntent};
use super::payments::Presence;
use super::{checkout_sessions, fields, payment_methods, payments};
use crate::stripe::errors::{ApiError, Result};
use crate::stripe::events::Origin;
use crate::stripe::kinds::Kind;
use crate::stripe::world::Call;

/// How a buyer completes a checkout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Paid at once, by card.
    Paid,
    /// Completed with a method whose bank answers later: `payment_status` is `unpaid` until it does.
    Unpaid,
}

/// Who buys, and how; what is `None` comes from the session or is made up.
#[derive(Clone, Debug, Default)]
pub struct Buyer {
    /// Email address. A customer's or the session's own goes first.
    pub email: Option<String>,
    /// Name on the card.
    pub name: Option<String>,
    /// Two letters; `US` when left out.
    pub country: Option<String>,
    /// A test payment method, e.g. `pm_card_pendingRefund`; a declined one leaves the session open.
    pub payment_method: Option<String>,
}

/// The buyer fills in the page and pays.
pub fn complete(call: &mut Call, id: &str, outcome: Outcome, buyer: &Buyer) -> Result<Arc<str>> {
    let mut session = call.find(Kind::CheckoutSession, id)?;
    if session["status"] != "open" {
        let status = session["status"].as_str().unwrap_or_default();
        let message =
            format!("Only an open Checkout Session can be completed. This one has a status of `{status}`.");
        return Err(ApiError::refused(None, message, None));
    }
    // The page's own requests cause what happens up to the payment.
    call.origin =
        Origin { request_id: Some(call.new_id("req_", 14)), idempotency_key: Some(call.world.ids.uuid()) };
    let details = details(call, &session, buyer);
    let billing = json!({
        "address": details["address"], "email": details["email"], "name": details["name"], "phone": details["phone"],
        "tax_id": null,
    });
    let free = session["payment_status"] == "no_payment_required";
    let delayed = if outcome == Outcome::Unpaid { "pm_usBankAccount" } else { "pm_card_visa" };
    let method = buyer.payment_method.as_deref().unwrap_or(delayed);
    let method = if free {
        None
    } else {
        Some(payment_methods::resolve(call, method, "payment_method", Some(&billing))?)
    };
    if session["customer_creation"] == "always" && session["customer"].is_null() {
        let new = NewCustomer {
            email: details["email"].clone(),
            name: details["name"].clone(),
            phone: details["phone"].clone(),
            address: details["address"].clone(),
        };
        session["customer"] = customers::create_for_buyer(call, new)["id"].clone();
    }
    session["customer_details"] = details;
    if let Some(method) = method {
        // A buyer who was declined tries again with the same payment intent.
        let intent = if session["payment_intent"].is_null() {
            let intent = create_intent(call, &session);
            session["payment_intent"] = intent["id"].clone();
            call.replace(Kind::CheckoutSession, &session);
            intent
        } else {
            call.linked(Kind::PaymentIntent, &session["payment_intent"])
        };
        let intent = payments::pay(call, &intent, &method, Presence::OnSession)?;
        if intent["status"] == "succeeded" {
            session["payment_status"] = "paid".into();
        }
    }
    checkout_sessions::forget_expiry(call, &session);
    session["status"] = "complete".into();
    session["url"] = Value::Null;
    call.origin = Origin::default();
    let text = call.replace(Kind::CheckoutSession, &session);
    call.emit("checkout.session.completed", text.clone(), None);
    Ok(text)
}

/// The bank answers for a session that was completed unpaid.
pub fn finish_async(call: &mut Call, id: &str, paid: bool) -> Result<Arc<str>> {
    let mut session = call.find(Kind::CheckoutSession, id)?;
    let waits = session["status"] == "complete" && session["payment_status"] == "unpaid";
    if !waits || session["payment_intent"].is_null() {
        let message =
            "Only a Checkout Session that was completed unpaid has a payment that can still succeed or fail.";
        return Err(ApiError::refused(None, message, None));
    }
    call.origin = Origin::default();
    let intent = call.linked(Kind::PaymentIntent, &session["payment_intent"]);
    payments::finish_delayed(call, &intent, paid)?;
    if paid {
        session["payment_status"] = "paid".into();
    }
    let text = call.replace(Kind::CheckoutSession, &session);
    let event = if paid {
        "checkout.session.async_payment_succeeded"
    } else {
        "checkout.session.async_payment_failed"
    };
    call.emit(event, text.clone(), None);
    Ok(text)
}

fn details(call: &mut Call, session: &Value, buyer: &Buyer) -> Value {
    let customer =
        session["customer"].as_str().and_then(|id| call.get(Kind::Customer, id)).unwrap_or_default();
    let known = |field: &Value| field.as_str().map(str::to_owned);
    let email = known(&customer["email"])
        .or_else(|| known(&session["customer_email"]))
        .or_else(|| buyer.email.clone())
        .unwrap_or_else(|| format!("buyer-{}@example.com", call.new_id("", 8).to_lowercase()));
    let name =
        buyer.name.clone().or_else(|| known(&customer["name"])).unwrap_or_else(|| "Jenny Rosen".to_owned());
    let mut address = fields::no_address();
    address["country"] = buyer.country.as_deref().unwrap_or("US").into();
    address["postal_code"] = "94107".into();
    json!({
        "address": address, "business_name": null, "email": email, "individual_name": null, "name": name,
        "phone": customer["phone"], "tax_exempt": "none", "tax_ids": [],
    })
}

fn create_intent(call: &mut Call, session: &Value) -> Value {
    let new = NewIntent {
        amount: session["amount_total"].as_i64().unwrap_or_default(),
        currency: session["currency"].as_str().unwrap_or_default().to_owned(),
        customer: session["customer"].clone(),
        payment_method_types: session["payment_method_types"].clone(),
    };
    let mut intent = payment_intents::build(call, &new);
    let key = (
        session["expires_at"].as_i64().unwrap_or_default(),
        session["id"].as_str().unwrap_or_default().into(),
    );
    let given = call.books().expiring.get(&key).and_then(Value::as_object).cloned().unwrap_or_default();
    for (field, value) in given {
        intent[field] = value;
    }
    let text = call.insert(Kind::PaymentIntent, &intent);
    call.emit("payment_intent.created", text, None);
    intent
}
