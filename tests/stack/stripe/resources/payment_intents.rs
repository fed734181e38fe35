//! Payment intents (<https://docs.stripe.com/api/payment_intents>).

use std::sync::Arc;

use serde_json::{Value, json};

use super::payments::Presence;
use super::{fields, money, payment_methods, payments};
use crate::stripe::errors::{ApiError, Result};
use crate::stripe::form::Params;
use crate::stripe::json;
use crate::stripe::kinds::Kind;
use crate::stripe::pages::{Filter, Sort};
use crate::stripe::world::Call;

pub const FILTERS: [Filter; 1] = [Filter::new("customer", Sort::Id(Kind::Customer))];

const TEXTS: [&str; 5] =
    ["description", "receipt_email", "statement_descriptor", "statement_descriptor_suffix", "transfer_group"];
const KNOWN: [&str; 20] = [
    "amount",
    "automatic_payment_methods",
    "capture_method",
    "confirm",
    "confirmation_method",
    "currency",
    "customer",
    "description",
    "mandate_data",
    "metadata",
    "off_session",
    "payment_method",
    "payment_method_types",
    "receipt_email",
    "return_url",
    "setup_future_usage",
    "shipping",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_group",
];
const OTHERS: [&str; 16] = [
    "amount_details",
    "application_fee_amount",
    "confirmation_token",
    "customer_account",
    "error_on_requires_action",
    "excluded_payment_method_types",
    "hooks",
    "mandate",
    "on_behalf_of",
    "payment_details",
    "payment_method_configuration",
    "payment_method_data",
    "payment_method_options",
    "radar_options",
    "transfer_data",
    "use_stripe_sdk",
];

/// What a payment intent is made from; everything else can be set on the object.
pub struct NewIntent {
    pub amount: i64,
    pub currency: String,
    pub customer: Value,
    pub payment_method_types: Value,
}

/// An intent's object, not yet stored.
pub fn build(call: &mut Call, new: &NewIntent) -> Value {
    let id = call.new_id("pi_3", 23);
    let secret = call.new_id("", 25);
    json!({
        "id": &*id, "object": "payment_intent", "amount": new.amount, "amount_capturable": 0,
        "amount_details": { "tip": {} }, "amount_received": 0, "application": null, "application_fee_amount": null,
        "automatic_payment_methods": null, "canceled_at": null, "cancellation_reason": null,
        "capture_method": "automatic_async", "client_secret": format!("{id}_secret_{secret}"),
        "confirmation_method": "automatic", "created": call.now, "currency": new.currency, "customer": new.customer,
        "customer_account": null, "description": null, "excluded_payment_method_types": null,
        "last_payment_error": null, "latest_charge": null, "livemode": false,
        "managed_payments": { "enabled": false }, "metadata": {}, "next_action": null,
        "on_behalf_of": null, "payment_method": null, "payment_method_configuration_details": null,
        "payment_method_options": { "card": {
            "installments": null, "mandate_options": null, "network": null, "request_three_d_secure": "automatic",
        } },
        "payment_method_types": new.payment_method_types, "processing": null, "receipt_email": null, "review": null,
        "setup_future_usage": null, "shipping": null, "source": null, "statement_descriptor": null,
        "statement_descriptor_suffix": null, "status": "requires_payment_method", "transfer_data": null,
        "transfer_group": null,
    })
}

/// What a server may set on an intent, and a cart's `payment_intent_data` too.
pub fn apply(intent: &mut Value, params: Params) -> Result<()> {
    fields::set_texts(intent, params, &TEXTS)?;
    fields::set_shipping(intent, params)?;
    if let Some(usage) = params.one_of("setup_future_usage", &["off_session", "on_session"])? {
        intent["setup_future_usage"] = usage.into();
    }
    if let Some(capture) = params.one_of("capture_method", &["automatic", "automatic_async", "manual"])? {
        intent["capture_method"] = capture.into();
    }
    fields::set_metadata(intent, params)
}

/// What a confirmation says of the buyer: whether they are there, where they are sent back to, and that they
/// agreed to be debited. None of it is shown later.
fn presence(params: Params) -> Result<Presence> {
    if let Some(entries) = params.entries("mandate_data")? {
        let mandate = Params::at(entries, "mandate_data");
        mandate.allow(&["customer_acceptance"], &[])?;
        let acceptance = mandate.entries("customer_acceptance")?.unwrap_or_default();
        let acceptance = Params::at(acceptance, "mandate_data[customer_acceptance]");
        acceptance.allow(&["accepted_at", "offline", "online", "type"], &[])?;
        acceptance.integer("accepted_at")?;
        acceptance.required("type")?;
        acceptance.one_of("type", &["offline", "online"])?;
    }
    params.text("return_url")?;
    let away = params.boolean("off_session")?.unwrap_or(false);
    Ok(if away { Presence::OffSession } else { Presence::OnSession })
}

pub fn create(call: &mut Call, params: Params) -> Result<Arc<str>> {
    params.allow(&KNOWN, &OTHERS)?;
    params.required("amount")?;
    let amount = money::positive(params, "amount")?.ok_or_else(|| ApiError::missing("amount"))?;
    let currency = money::currency(params)?;
    money::check_chargeable(amount, &currency, "amount")?;
    let customer = match params.text("customer")? {
        Some(id) => call.referred(Kind::Customer, id, "customer")?["id"].clone(),
        None => Value::Null,
    };
    let types = params.texts("payment_method_types")?.map_or_else(|| json!(["card"]), |types| json!(types));
    let mut intent = build(call, &NewIntent { amount, currency, customer, payment_method_types: types });
    if let Some(entries) = params.entries("automatic_payment_methods")? {
        let inner = Params::at(entries, "automatic_payment_methods");
        inner.allow(&["enabled", "allow_redirects"], &[])?;
        let enabled = inner.boolean("enabled")?.unwrap_or(false);
        let redirects = inner.one_of("allow_redirects", &["always", "never"])?.unwrap_or("always");
        intent["automatic_payment_methods"] = json!({ "allow_redirects": redirects, "enabled": enabled });
    } else if !params.has("payment_method_types") {
        intent["automatic_payment_methods"] = json!({ "allow_redirects": "always", "enabled": true });
    }
    apply(&mut intent, params)?;
    if let Some(confirmation) = params.one_of("confirmation_method", &["automatic", "manual"])? {
        intent["confirmation_method"] = confirmation.into();
    }
    let presence = presence(params)?;
    let confirm = params.boolean("confirm")?.unwrap_or(false);
    let method = params.text("payment_method")?;
    if confirm && method.is_none() {
        let message = "You cannot confirm this PaymentIntent because it's missing a payment method.";
        return Err(ApiError::refused(Some("parameter_missing"), message, Some("payment_method")));
    }
    let method = method.map(|id| payment_methods::resolve(call, id, "payment_method", None)).transpose()?;
    if let Some(method) = &method {
        intent["payment_method"] = method["id"].clone();
        intent["status"] = "requires_confirmation".into();
    }
    let text = call.insert(Kind::PaymentIntent, &intent);
    call.emit("payment_intent.created", text.clone(), None);
    match method {
        Some(method) if confirm => {
            Ok(json::compact(&payments::pay(call, &intent, &method, presence)?).into())
        }
        _ => Ok(text),
    }
}

pub fn update(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(&KNOWN, &OTHERS)?;
    let old = call.find(Kind::PaymentIntent, id)?;
    let open = ["requires_payment_method", "requires_confirmation", "requires_action"];
    let fixed = ["amount", "currency", "customer", "payment_method", "capture_method"];
    if !open.iter().any(|status| old["status"] == *status) && fixed.iter().any(|name| params.has(name)) {
        return Err(payments::unexpected(&old, "change the payment of", &open.join(", ")));
    }
    let mut intent = old;
    if params.has("currency") {
        intent["currency"] = money::currency(params)?.into();
    }
    if let Some(amount) = money::positive(params, "amount")? {
        money::check_chargeable(amount, intent["currency"].as_str().unwrap_or_default(), "amount")?;
        intent["amount"] = amount.into();
    }
    if let Some(customer) = params.text("customer")? {
        intent["customer"] = call.referred(Kind::Customer, customer, "customer")?["id"].clone();
    }
    apply(&mut intent, params)?;
    if let Some(method) = params.text("payment_method")? {
        intent["payment_method"] =
            payment_methods::resolve(call, method, "payment_method", None)?["id"].clone();
        intent["status"] = "requires_confirmation".into();
    }
    // Stripe has no payment_intent.updated.
    Ok(call.replace(Kind::PaymentIntent, &intent))
}

pub fn confirm(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(
        &[
            "capture_method",
            "mandate_data",
            "off_session",
            "payment_method",
            "receipt_email",
            "return_url",
            "setup_future_usage",
            "shipping",
        ],
        &[
            "client_secret",
            "confirmation_token",
            "error_on_requires_action",
            "excluded_payment_method_types",
            "mandate",
            "payment_method_data",
            "payment_method_options",
            "payment_method_types",
            "radar_options",
            "use_stripe_sdk",
        ],
    )?;
    let mut intent = call.find(Kind::PaymentIntent, id)?;
    let open = ["requires_payment_method", "requires_confirmation"];
    if !open.iter().any(|status| intent["status"] == *status) {
        return Err(payments::unexpected(&intent, "confirm", &open.join(", ")));
    }
    apply(&mut intent, params)?;
    let presence = presence(params)?;
    let method = match (params.text("payment_method")?, intent["payment_method"].as_str()) {
        (Some(given), _) => payment_methods::resolve(call, given, "payment_method", None)?,
        (None, Some(attached)) => payment_methods::resolve(call, attached, "payment_method", None)?,
        (None, None) => {
            let message = "You cannot confirm this PaymentIntent because it's missing a payment method.";
            return Err(ApiError::refused(Some("payment_intent_unexpected_state"), message, None));
        }
    };
    Ok(json::compact(&payments::pay(call, &intent, &method, presence)?).into())
}

pub fn capture(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(
        &["amount_to_capture", "metadata"],
        &[
            "application_fee_amount",
            "final_capture",
            "statement_descriptor",
            "statement_descriptor_suffix",
            "transfer_data",
        ],
    )?;
    let mut intent = call.find(Kind::PaymentIntent, id)?;
    fields::set_metadata(&mut intent, params)?;
    let amount = money::positive(params, "amount_to_capture")?;
    Ok(json::compact(&payments::capture(call, &intent, amount)?).into())
}

pub fn cancel(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(&["cancellation_reason"], &[])?;
    let reasons = ["duplicate", "fraudulent", "requested_by_customer", "abandoned"];
    let reason = params.one_of("cancellation_reason", &reasons)?;
    let intent = call.find(Kind::PaymentIntent, id)?;
    Ok(json::compact(&payments::cancel(call, &intent, reason)?).into())
}
