//! Payment methods (<https://docs.stripe.com/api/payment_methods>).

use std::sync::Arc;

use serde_json::{Value, json};

use super::fields;
use super::test_methods::{self, SEPA, no_billing_details};
use crate::stripe::errors::{ApiError, Result};
use crate::stripe::form::Params;
use crate::stripe::kinds::Kind;
use crate::stripe::pages::{self, Filter, Reply, Sort};
use crate::stripe::world::Call;

pub const FILTERS: [Filter; 2] =
    [Filter::new("customer", Sort::Id(Kind::Customer)), Filter::new("type", Sort::Text)];

fn build(call: &mut Call, kind: &str, details: Value, billing: Option<&Value>) -> Value {
    let id = call.new_id("pm_1", 23);
    let mut object = json!({
        "id": &*id, "object": "payment_method", "allow_redisplay": "unspecified",
        "billing_details": billing.cloned().unwrap_or_else(no_billing_details), "created": call.now, "customer": null,
        "customer_account": null, "livemode": false, "metadata": {}, "type": kind,
    });
    object[kind] = details;
    object
}

/// The payment method that an id or a test name means; a test name makes a new one.
pub fn resolve(call: &mut Call, id: &str, param: &str, billing: Option<&Value>) -> Result<Value> {
    if let Some(method) = call.get(Kind::PaymentMethod, id) {
        return Ok(method);
    }
    let Some((kind, details)) = test_methods::named(id).filter(|_| id.starts_with("pm_")) else {
        return Err(ApiError::no_such("PaymentMethod", id, param, 400));
    };
    let object = build(call, kind, details, billing);
    call.insert(Kind::PaymentMethod, &object);
    Ok(object)
}

pub fn create(call: &mut Call, params: Params) -> Result<Arc<str>> {
    params.allow(
        &["billing_details", "card", "metadata", "sepa_debit", "type"],
        &["us_bank_account", "customer"],
    )?;
    params.required("type")?;
    let kind = params.one_of("type", &["card", SEPA])?.expect("it is required");
    let entries = params.entries(kind)?.ok_or_else(|| ApiError::missing(kind))?;
    let inner = Params::at(entries, kind);
    let details = if kind == SEPA {
        inner.allow(&["iban"], &[])?;
        let iban = inner.required("iban")?;
        test_methods::sepa(iban).ok_or_else(|| {
            let message = "The IBAN you provided is invalid.";
            ApiError::refused(Some("invalid_bank_account_iban"), message, Some("sepa_debit[iban]"))
        })?
    } else {
        inner.allow(&["token"], &["cvc", "exp_month", "exp_year", "networks", "number"])?;
        let token = inner.required("token")?;
        let named =
            test_methods::named(token).filter(|(kind, _)| *kind == "card" && token.starts_with("tok_"));
        named.ok_or_else(|| ApiError::no_such("token", token, "card[token]", 400))?.1
    };
    let billing = billing_details(params)?;
    let mut object = build(call, kind, details, billing.as_ref());
    fields::set_metadata(&mut object, params)?;
    // Stripe tells of a payment method only when a customer gets it.
    Ok(call.insert(Kind::PaymentMethod, &object))
}

fn billing_details(params: Params) -> Result<Option<Value>> {
    let Some(entries) = params.entries("billing_details")? else { return Ok(None) };
    let inner = Params::at(entries, "billing_details");
    inner.allow(&["address", "email", "name", "phone"], &["tax_id"])?;
    let mut billing = no_billing_details();
    fields::set_texts(&mut billing, inner, &["email", "name", "phone"])?;
    if let Some(address) = fields::address(inner, "address")? {
        billing["address"] = address;
    }
    Ok(Some(billing))
}

pub fn update(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(&["billing_details", "metadata"], &["allow_redisplay", "card", "us_bank_account"])?;
    let old = call.find(Kind::PaymentMethod, id)?;
    if old["customer"].is_null() {
        let message = "You must save this PaymentMethod to a customer before you can update it.";
        return Err(ApiError::refused(None, message, None));
    }
    let mut method = old.clone();
    if let Some(billing) = billing_details(params)? {
        method["billing_details"] = billing;
    }
    fields::set_metadata(&mut method, params)?;
    Ok(call.update(Kind::PaymentMethod, &old, &method, "payment_method.updated"))
}

pub fn attach(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(&["customer"], &["customer_account"])?;
    let customer = call.referred(Kind::Customer, params.required("customer")?, "customer")?;
    let method = resolve(call, id, "payment_method", None)?;
    attach_to(call, &method, &customer).map(|(_, text)| text)
}

/// Makes a method a customer's, who may have it already.
pub fn attach_to(call: &mut Call, method: &Value, customer: &Value) -> Result<(Value, Arc<str>)> {
    let mut attached = method.clone();
    attached["customer"] = customer["id"].clone();
    if method["customer"] == customer["id"] {
        return Ok((attached, call.replace(Kind::PaymentMethod, method)));
    }
    if !method["customer"].is_null() {
        let message = "The payment method you provided has already been attached to a customer.";
        return Err(ApiError::refused(Some("payment_method_unexpected_state"), message, None));
    }
    if let Some((code, decline_code, message)) = test_methods::decline(method)
        // This one is only declined later.
        && method["card"]["last4"] != "0341"
    {
        return Err(ApiError::card(code, decline_code, message));
    }
    let text = call.replace(Kind::PaymentMethod, &attached);
    call.emit("payment_method.attached", text.clone(), None);
    Ok((attached, text))
}

pub fn detach(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(&[], &[])?;
    let old = call.find(Kind::PaymentMethod, id)?;
    if old["customer"].is_null() {
        let message =
            "The payment method you provided is not attached to a customer so detachment is impossible.";
        return Err(ApiError::refused(None, message, None));
    }
    let mut method = old.clone();
    method["customer"] = Value::Null;
    Ok(call.update(Kind::PaymentMethod, &old, &method, "payment_method.detached"))
}

/// `GET /v1/customers/:id/payment_methods`.
pub fn of_customer(call: &Call, customer: &str, params: Params) -> Result<Reply> {
    call.find(Kind::Customer, customer)?;
    let mut clauses = pages::clauses(call, params, &FILTERS[1..], &[])?;
    clauses.push(vec![("customer", customer.into())]);
    let url = format!("/v1/customers/{customer}/payment_methods");
    pages::list_of(call, Kind::PaymentMethod, params, &url, clauses)
}
