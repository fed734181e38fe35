//! Customers (<https://docs.stripe.com/api/customers>).

use std::sync::Arc;

use serde_json::{Value, json};

use super::{fields, invoices, payment_methods};
use crate::stripe::errors::{ApiError, Result};
use crate::stripe::form::Params;
use crate::stripe::kinds::Kind;
use crate::stripe::pages::{Filter, Sort};
use crate::stripe::world::{Call, deleted};

pub const FILTERS: [Filter; 1] = [Filter::new("email", Sort::Text)];

const KNOWN: [&str; 9] = [
    "address",
    "description",
    "email",
    "invoice_settings",
    "metadata",
    "name",
    "phone",
    "preferred_locales",
    "shipping",
];
const OTHERS: [&str; 12] = [
    "balance",
    "business_name",
    "cash_balance",
    "default_source",
    "individual_name",
    "invoice_prefix",
    "next_invoice_sequence",
    "source",
    "tax",
    "tax_exempt",
    "tax_id_data",
    "test_clock",
];

/// What is known of a new customer.
#[derive(Default)]
pub struct NewCustomer {
    pub email: Value,
    pub name: Value,
    pub phone: Value,
    pub address: Value,
}

/// Makes a customer's object without storing it.
fn build(call: &mut Call) -> Value {
    let id = call.new_id("cus_", 14);
    let prefix = call.new_id("", 8).to_uppercase();
    json!({
        "id": &*id, "object": "customer", "address": null, "balance": 0, "created": call.now, "currency": null,
        "customer_account": null, "default_source": null, "delinquent": false, "description": null, "discount": null,
        "email": null, "invoice_prefix": prefix,
        "invoice_settings": {
            "custom_fields": null, "default_payment_method": null, "footer": null, "rendering_options": null,
        },
        "livemode": false, "metadata": {}, "name": null, "next_invoice_sequence": 1, "phone": null,
        "preferred_locales": [], "shipping": null, "tax_exempt": "none", "test_clock": null,
    })
}

fn apply(customer: &mut Value, params: Params) -> Result<()> {
    if let Some(email) = params.text("email")?
        && !email.contains('@')
    {
        return Err(ApiError::invalid(
            Some("email_invalid"),
            format!("Invalid email address: {email}"),
            "email",
        ));
    }
    fields::set_texts(customer, params, &["description", "email", "name", "phone"])?;
    fields::set_lists(customer, params, &["preferred_locales"])?;
    fields::set_shipping(customer, params)?;
    if let Some(address) = fields::address(params, "address")? {
        customer["address"] = address;
    }
    fields::set_metadata(customer, params)
}

pub fn create(call: &mut Call, params: Params) -> Result<Arc<str>> {
    params.allow(&[&KNOWN[..], &["payment_method"]].concat(), &OTHERS)?;
    let mut customer = build(call);
    apply(&mut customer, params)?;
    let attached = match params.text("payment_method")? {
        None => None,
        Some(id) => {
            let method = payment_methods::resolve(call, id, "payment_method", None)?;
            Some(payment_methods::attach_to(call, &method, &customer)?.0)
        }
    };
    if let Some(default) = default_method(params)? {
        customer["invoice_settings"]["default_payment_method"] = match (default, &attached) {
            (None, _) => Value::Null,
            // A test name means the method that it has just made.
            (Some(id), Some(method)) if params.text("payment_method")? == Some(id) => method["id"].clone(),
            (Some(id), _) => owned(call, id, &customer)?,
        };
    }
    let text = call.insert(Kind::Customer, &customer);
    call.emit("customer.created", text.clone(), None);
    Ok(text)
}

/// `invoice_settings[default_payment_method]`: `None` not given, `Some(None)` unset.
fn default_method<'f>(params: Params<'f>) -> Result<Option<Option<&'f str>>> {
    let Some(entries) = params.entries("invoice_settings")? else { return Ok(None) };
    let settings = Params::at(entries, "invoice_settings");
    settings.allow(&["default_payment_method"], &["custom_fields", "footer", "rendering_options"])?;
    settings.nullable("default_payment_method")
}

fn owned(call: &Call, method: &str, customer: &Value) -> Result<Value> {
    let param = "invoice_settings[default_payment_method]";
    Ok(invoices::owned_method(call, method, &customer["id"], param)?["id"].clone())
}

/// The customer that a checkout session makes for its buyer.
pub fn create_for_buyer(call: &mut Call, new: NewCustomer) -> Value {
    let mut customer = build(call);
    (customer["email"], customer["name"]) = (new.email, new.name);
    (customer["phone"], customer["address"]) = (new.phone, new.address);
    let text = call.insert(Kind::Customer, &customer);
    call.emit("customer.created", text, None);
    customer
}

pub fn retrieve(call: &Call, id: &str) -> Result<Arc<str>> {
    if call.books().deleted_customers.contains(id) {
        return Ok(deleted("customer", id));
    }
    call.text(Kind::Customer, id).ok_or_else(|| ApiError::no_such("customer", id, "id", 404))
}

pub fn update(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(&KNOWN, &[&OTHERS[..], &["payment_method"]].concat())?;
    let old = call.find(Kind::Customer, id)?;
    let mut customer = old.clone();
    apply(&mut customer, params)?;
    if let Some(default) = default_method(params)? {
        customer["invoice_settings"]["default_payment_method"] = match default {
            None => Value::Null,
            Some(method) => owned(call, method, &old)?,
        };
    }
    Ok(call.update(Kind::Customer, &old, &customer, "customer.updated"))
}

pub fn delete(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(&[], &[])?;
    call.find(Kind::Customer, id)?;
    let text = call.remove(Kind::Customer, id).expect("it was just found");
    call.books_mut().deleted_customers.insert(id.into());
    call.emit("customer.deleted", text, None);
    Ok(deleted("customer", id))
}
