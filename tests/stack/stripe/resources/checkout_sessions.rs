//! Checkout sessions, as a seller makes them (<https://docs.stripe.com/api/checkout/sessions>). What the buyer
//! does is in `checkout_buyer`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{fields, line_items, money, payment_intents};
use crate::stripe::errors::{ApiError, Result};
use crate::stripe::form::Params;
use crate::stripe::kinds::Kind;
use crate::stripe::pages::{Filter, Sort};
use crate::stripe::world::Call;

pub const FILTERS: [Filter; 5] = [
    Filter::new("customer", Sort::Id(Kind::Customer)),
    Filter::new("customer_details.email", Sort::Text),
    Filter::new("payment_intent", Sort::Id(Kind::PaymentIntent)),
    Filter::new("status", Sort::Text),
    Filter::new("subscription", Sort::Id(Kind::Subscription)),
];

const KNOWN: [&str; 16] = [
    "cancel_url",
    "client_reference_id",
    "currency",
    "customer",
    "customer_creation",
    "customer_email",
    "expires_at",
    "line_items",
    "locale",
    "metadata",
    "mode",
    "payment_intent_data",
    "payment_method_types",
    "submit_type",
    "success_url",
    "billing_address_collection",
];
const OTHERS: [&str; 30] = [
    "adaptive_pricing",
    "after_expiration",
    "allow_promotion_codes",
    "automatic_tax",
    "branding_settings",
    "consent_collection",
    "custom_fields",
    "custom_text",
    "customer_account",
    "customer_update",
    "discounts",
    "excluded_payment_method_types",
    "invoice_creation",
    "name_collection",
    "optional_items",
    "origin_context",
    "payment_method_collection",
    "payment_method_configuration",
    "payment_method_data",
    "payment_method_options",
    "permissions",
    "phone_number_collection",
    "redirect_on_completion",
    "return_url",
    "saved_payment_method_options",
    "setup_intent_data",
    "shipping_address_collection",
    "shipping_options",
    "subscription_data",
    "tax_id_collection",
];
const OTHERS_TOO: [&str; 3] = ["ui_mode", "wallet_options", "managed_payments"];

const PAYMENT_INTENT_DATA: [&str; 9] = [
    "capture_method",
    "description",
    "metadata",
    "receipt_email",
    "setup_future_usage",
    "shipping",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_group",
];

const OPEN_SECONDS_DEFAULT: i64 = 24 * 3600;
const OPEN_SECONDS_MIN: i64 = 30 * 60;

pub fn create(call: &mut Call, params: Params) -> Result<Arc<str>> {
    params.allow(&KNOWN, &[&OTHERS[..], &OTHERS_TOO[..]].concat())?;
    params.required("success_url")?;
    params.required("mode")?;
    match params.one_of("mode", &["payment", "setup", "subscription"])? {
        Some("payment") => {}
        _ => return Err(ApiError::not_simulated("mode")),
    }
    let customer = buyer(call, params)?;
    let expires_at = expiry(call, params)?;
    let data = payment_data(params)?;
    // Carts come last: inline prices are made while they are read, and a refusal should leave nothing behind.
    let entries = params.entries("line_items")?.ok_or_else(|| ApiError::missing("line_items"))?;
    let cart = line_items::read_cart(call, entries)?;
    if params.has("currency") && money::currency(params)? != cart.currency {
        let message = "The currency of the session does not match that of its prices.";
        return Err(ApiError::refused(None, message, Some("currency")));
    }
    if cart.total > 0 {
        money::check_chargeable(cart.total, &cart.currency, "line_items")?;
    }
    let id = call.new_id("cs_test_a1", 56);
    let mut session = json!({
        "id": &*id, "object": "checkout.session", "adaptive_pricing": { "enabled": false }, "after_expiration": null,
        "allow_promotion_codes": null, "amount_subtotal": cart.total, "amount_total": cart.total,
        "automatic_tax": { "enabled": false, "liability": null, "provider": null, "status": null },
        "billing_address_collection": null, "cancel_url": null, "client_reference_id": null, "client_secret": null,
        "collected_information": null, "consent": null, "consent_collection": null, "created": call.now,
        "currency": cart.currency, "currency_conversion": null, "custom_fields": [],
        "custom_text": {
            "after_submit": null, "shipping_address": null, "submit": null, "terms_of_service_acceptance": null,
        },
        "customer": customer, "customer_account": null, "customer_creation": null, "customer_details": null,
        "customer_email": null, "discounts": [], "expires_at": expires_at, "integration_identifier": null,
        "invoice": null,
        "invoice_creation": { "enabled": false, "invoice_data": {
            "account_tax_ids": null, "custom_fields": null, "description": null, "footer": null, "issuer": null,
            "metadata": {}, "rendering_options": null,
        } },
        "livemode": false, "locale": null, "managed_payments": { "enabled": false }, "metadata": {}, "mode": "payment",
        "origin_context": null, "payment_intent": null, "payment_link": null, "payment_method_collection": "if_required",
        "payment_method_configuration_details": null, "payment_method_options": {}, "payment_method_types": ["card"],
        "payment_status": if cart.total > 0 { "unpaid" } else { "no_payment_required" }, "permissions": null,
        "phone_number_collection": { "enabled": false }, "recovered_from": null, "saved_payment_method_options": null,
        "setup_intent": null, "shipping_address_collection": null, "shipping_cost": null, "shipping_options": [],
        "status": "open", "submit_type": null, "subscription": null, "success_url": null,
        "total_details": { "amount_discount": 0, "amount_shipping": 0, "amount_tax": 0 }, "ui_mode": "hosted",
        "url": format!("https://checkout.stripe.com/c/pay/{id}"), "wallet_options": null,
    });
    let texts = ["cancel_url", "client_reference_id", "customer_email", "locale", "success_url"];
    fields::set_texts(&mut session, params, &texts)?;
    fields::set_lists(&mut session, params, &["payment_method_types"])?;
    if session["customer"].is_null() {
        let creation = params.one_of("customer_creation", &["always", "if_required"])?;
        session["customer_creation"] = creation.unwrap_or("if_required").into();
    }
    session["billing_address_collection"] =
        params.one_of("billing_address_collection", &["auto", "required"])?.into();
    session["submit_type"] =
        params.one_of("submit_type", &["auto", "book", "donate", "pay", "subscribe"])?.into();
    known_email(call, &mut session);
    fields::set_metadata(&mut session, params)?;
    line_items::store(call, &id, &cart);
    let text = call.insert(Kind::CheckoutSession, &session);
    call.books_mut().expiring.insert((expires_at, id.clone()), data);
    Ok(text)
}

fn buyer(call: &Call, params: Params) -> Result<Value> {
    let Some(id) = params.text("customer")? else { return Ok(Value::Null) };
    for other in ["customer_email", "customer_creation"] {
        if params.has(other) {
            let message = format!("You may only specify one of these parameters: customer, {other}.");
            return Err(ApiError::invalid(None, message, "customer"));
        }
    }
    Ok(call.referred(Kind::Customer, id, "customer")?["id"].clone())
}

/// Before the buyer comes, the details are what the seller knew.
fn known_email(call: &Call, session: &mut Value) {
    let email = match session["customer"].as_str() {
        Some(customer) => {
            call.get(Kind::Customer, customer).map_or(Value::Null, |customer| customer["email"].clone())
        }
        None => session["customer_email"].clone(),
    };
    if !email.is_null() {
        session["customer_details"] = json!({
            "address": null, "business_name": null, "email": email, "individual_name": null, "name": null, "phone": null,
            "tax_exempt": "none", "tax_ids": null,
        });
    }
}

fn expiry(call: &Call, params: Params) -> Result<i64> {
    let Some(at) = params.integer("expires_at")? else { return Ok(call.now + OPEN_SECONDS_DEFAULT) };
    if at < call.now + OPEN_SECONDS_MIN || at > call.now + OPEN_SECONDS_DEFAULT {
        let message = "The `expires_at` timestamp must be between 30 minutes and 24 hours from Checkout Session creation.";
        return Err(ApiError::invalid(None, message, "expires_at"));
    }
    Ok(at)
}

/// What the payment intent will be given when the buyer pays: judged now, as Stripe does.
fn payment_data(params: Params) -> Result<Value> {
    let mut data = json!({ "metadata": {} });
    if let Some(entries) = params.entries("payment_intent_data")? {
        let inner = Params::at(entries, "payment_intent_data");
        inner.allow(&PAYMENT_INTENT_DATA, &["application_fee_amount", "on_behalf_of", "transfer_data"])?;
        payment_intents::apply(&mut data, inner)?;
    }
    Ok(data)
}

pub fn update(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(&["metadata"], &["collected_information", "shipping_options", "line_items"])?;
    let mut session = call.find(Kind::CheckoutSession, id)?;
    fields::set_metadata(&mut session, params)?;
    Ok(call.replace(Kind::CheckoutSession, &session))
}

pub fn expire(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(&[], &[])?;
    let session = call.find(Kind::CheckoutSession, id)?;
    if session["status"] != "open" {
        let status = session["status"].as_str().unwrap_or_default();
        let message = format!(
            "Only Checkout Sessions with a status in [\"open\"] can be expired. This Checkout Session has a status of `{status}`."
        );
        return Err(ApiError::refused(None, message, None));
    }
    Ok(close_unpaid(call, session))
}

/// Expires a session that is open.
fn close_unpaid(call: &mut Call, mut session: Value) -> Arc<str> {
    forget_expiry(call, &session);
    session["status"] = "expired".into();
    session["url"] = Value::Null;
    let text = call.replace(Kind::CheckoutSession, &session);
    call.emit("checkout.session.expired", text.clone(), None);
    text
}

/// A session that is no longer open does not expire; gives what its payment intent was to be given.
pub fn forget_expiry(call: &mut Call, session: &Value) -> Value {
    let at = session["expires_at"].as_i64().unwrap_or_default();
    let id: Arc<str> = session["id"].as_str().unwrap_or_default().into();
    call.books_mut().expiring.remove(&(at, id)).unwrap_or_default()
}

/// Expires the account's sessions whose time is over.
pub fn expire_due(call: &mut Call) {
    while let Some(((at, id), _)) = call.books().expiring.first_key_value() {
        if *at > call.now {
            return;
        }
        let id = id.clone();
        let session = call.get(Kind::CheckoutSession, &id).expect("only stored sessions expire");
        close_unpaid(call, session);
    }
}
