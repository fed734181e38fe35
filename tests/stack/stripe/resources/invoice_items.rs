//! Invoice items: what the next invoice of a customer bills (<https://docs.stripe.com/api/invoiceitems>).

use std::sync::Arc;

use serde_json::{Value, json};

use super::{fields, invoices, money};
use crate::stripe::errors::{ApiError, Result};
use crate::stripe::form::Params;
use crate::stripe::kinds::Kind;
use crate::stripe::pages::{self, Filter, Reply, Sort};
use crate::stripe::world::{Call, deleted};

const FILTERS: [Filter; 2] =
    [Filter::new("customer", Sort::Id(Kind::Customer)), Filter::new("invoice", Sort::Id(Kind::Invoice))];

const OTHERS: [&str; 11] = [
    "customer_account",
    "discountable",
    "discounts",
    "period",
    "price_data",
    "quantity_decimal",
    "subscription",
    "tax_behavior",
    "tax_code",
    "tax_rates",
    "unit_amount_decimal",
];

pub fn create(call: &mut Call, params: Params) -> Result<Arc<str>> {
    params.allow(
        &["amount", "currency", "customer", "description", "invoice", "metadata", "pricing", "quantity"],
        &OTHERS,
    )?;
    let customer = call.referred(Kind::Customer, params.required("customer")?, "customer")?;
    let invoice = match params.text("invoice")? {
        None => Value::Null,
        Some(id) => {
            let invoice = call.referred(Kind::Invoice, id, "invoice")?;
            invoices::check_draft(&invoice, "add an item to")?;
            invoice["id"].clone()
        }
    };
    let priced = price(call, params)?;
    let quantity = money::positive(params, "quantity")?.unwrap_or(1);
    let (currency, unit) = match &priced {
        Some(price) => (
            price["currency"].as_str().unwrap_or_default().to_owned(),
            price["unit_amount"].as_i64().unwrap_or_default(),
        ),
        None => (money::currency(params)?, amount(params)?.ok_or_else(|| ApiError::missing("amount"))?),
    };
    let details = priced.as_ref().map(|price| json!({ "price": price["id"], "product": price["product"] }));
    let id = call.new_id("ii_1", 23);
    let mut item = json!({
        "id": &*id, "object": "invoiceitem", "amount": unit * quantity, "currency": currency,
        "customer": customer["id"], "customer_account": null, "date": call.now, "description": null,
        "discountable": true, "discounts": [], "invoice": invoice, "livemode": false, "metadata": {},
        "net_amount": unit * quantity, "parent": null, "period": { "end": call.now, "start": call.now },
        "pricing": { "price_details": details, "type": "price_details", "unit_amount_decimal": unit.to_string() },
        "proration": false, "quantity": quantity, "quantity_decimal": quantity.to_string(), "tax_rates": [],
        "test_clock": null,
    });
    fields::set_texts(&mut item, params, &["description"])?;
    fields::set_metadata(&mut item, params)?;
    let text = call.insert(Kind::InvoiceItem, &item);
    call.emit("invoiceitem.created", text.clone(), None);
    bill_again(call, &item);
    Ok(text)
}

fn price(call: &Call, params: Params) -> Result<Option<Value>> {
    let Some(entries) = params.entries("pricing")? else { return Ok(None) };
    let pricing = Params::at(entries, "pricing");
    pricing.allow(&["price"], &[])?;
    let price = call.referred(Kind::Price, pricing.required("price")?, "pricing[price]")?;
    if price["type"] != "one_time" {
        let message = "The price specified is set to `type=recurring` but this field only accepts prices with \
                       `type=one_time`.";
        return Err(ApiError::refused(None, message, Some("pricing[price]")));
    }
    Ok(Some(price))
}

/// What is billed; credits are not simulated.
fn amount(params: Params) -> Result<Option<i64>> {
    match params.integer("amount")? {
        Some(amount) if amount < 0 => Err(ApiError::not_simulated("a negative amount")),
        other => Ok(other),
    }
}

pub fn update(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params
        .allow(&["amount", "description", "metadata"], &[&OTHERS[..], &["pricing", "quantity"]].concat())?;
    let mut item = find_open(call, id)?;
    if let Some(amount) = amount(params)? {
        item["amount"] = amount.into();
        item["net_amount"] = amount.into();
        item["pricing"]["unit_amount_decimal"] = amount.to_string().into();
    }
    fields::set_texts(&mut item, params, &["description"])?;
    fields::set_metadata(&mut item, params)?;
    // Stripe has no invoiceitem.updated any more.
    let text = call.replace(Kind::InvoiceItem, &item);
    bill_again(call, &item);
    Ok(text)
}

/// An item whose invoice, if it has one, is still a draft.
fn find_open(call: &Call, id: &str) -> Result<Value> {
    let item = call.find(Kind::InvoiceItem, id)?;
    if let Some(invoice) = item["invoice"].as_str() {
        invoices::check_draft(&call.find(Kind::Invoice, invoice)?, "change an item of")?;
    }
    Ok(item)
}

pub fn delete(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(&[], &[])?;
    let item = find_open(call, id)?;
    let text = call.remove(Kind::InvoiceItem, id).expect("it was just found");
    call.emit("invoiceitem.deleted", text, None);
    bill_again(call, &item);
    Ok(deleted("invoiceitem", id))
}

/// The draft that an item is on follows it.
fn bill_again(call: &mut Call, item: &Value) {
    if let Some(invoice) = item["invoice"].as_str().and_then(|id| call.get(Kind::Invoice, id)) {
        invoices::follow_items(call, &invoice);
    }
}

/// Items that no invoice bills yet, oldest first.
pub fn pending(call: &Call, customer: &str, currency: Option<&str>) -> Vec<Value> {
    let mut items = call.all_where(Kind::InvoiceItem, "customer", customer);
    items.retain(|item| {
        item["invoice"].is_null() && currency.is_none_or(|currency| item["currency"] == currency)
    });
    items.reverse();
    items
}

/// `GET /v1/invoiceitems`; `pending` are those that no invoice bills yet.
pub fn list(call: &Call, params: Params) -> Result<Reply> {
    let mut clauses = pages::clauses(call, params, &FILTERS, &["pending"])?;
    if params.boolean("pending")? == Some(true) {
        clauses.push(vec![("invoice", "".into())]);
    }
    pages::list_of(call, Kind::InvoiceItem, params, "/v1/invoiceitems", clauses)
}

/// Releases the items of a draft that is deleted.
pub fn release(call: &mut Call, invoice: &str) {
    for mut item in call.all_where(Kind::InvoiceItem, "invoice", invoice) {
        item["invoice"] = Value::Null;
        call.replace(Kind::InvoiceItem, &item);
    }
}

/// Puts items on an invoice.
pub fn assign(call: &mut Call, items: &[Value], invoice: &Value) {
    for item in items {
        let mut item = item.clone();
        item["invoice"] = invoice["id"].clone();
        call.replace(Kind::InvoiceItem, &item);
    }
}
