//! Prices (<https://docs.stripe.com/api/prices>).

use std::sync::Arc;

use serde_json::{Value, json};

use super::{fields, money, products};
use crate::stripe::errors::{ApiError, Result};
use crate::stripe::form::Params;
use crate::stripe::kinds::Kind;
use crate::stripe::pages::{Filter, Sort};
use crate::stripe::table::Query;
use crate::stripe::world::Call;

pub const FILTERS: [Filter; 5] = [
    Filter::new("active", Sort::Boolean),
    Filter::new("currency", Sort::Text),
    Filter { param: "lookup_keys", field: "lookup_key", sort: Sort::Texts },
    Filter::new("product", Sort::Id(Kind::Product)),
    Filter::new("type", Sort::Text),
];

const KNOWN: [&str; 11] = [
    "active",
    "billing_scheme",
    "currency",
    "lookup_key",
    "metadata",
    "nickname",
    "product",
    "product_data",
    "recurring",
    "tax_behavior",
    "unit_amount",
];
const OTHERS: [&str; 7] = [
    "currency_options",
    "custom_unit_amount",
    "tiers",
    "tiers_mode",
    "transfer_lookup_key",
    "transform_quantity",
    "unit_amount_decimal",
];
const TAX_BEHAVIOR: [&str; 3] = ["exclusive", "inclusive", "unspecified"];

fn build(call: &mut Call, product: &Value, params: Params) -> Result<Value> {
    let currency = money::currency(params)?;
    let Some(unit_amount) = money::unit_amount(params, "unit_amount")? else {
        return Err(ApiError::missing(&params.name("unit_amount")));
    };
    let recurring = recurring(params)?;
    let id = call.new_id("price_1", 23);
    Ok(json!({
        "id": &*id, "object": "price", "active": params.boolean("active")?.unwrap_or(true),
        "billing_scheme": params.one_of("billing_scheme", &["per_unit"])?.unwrap_or("per_unit"), "created": call.now,
        "currency": currency, "custom_unit_amount": null, "livemode": false, "lookup_key": null, "metadata": {},
        "nickname": null, "product": product["id"], "recurring": recurring,
        "tax_behavior": params.one_of("tax_behavior", &TAX_BEHAVIOR)?.unwrap_or("unspecified"), "tiers_mode": null,
        "transform_quantity": null, "type": if recurring.is_null() { "one_time" } else { "recurring" },
        "unit_amount": unit_amount, "unit_amount_decimal": unit_amount.to_string(),
    }))
}

fn recurring(params: Params) -> Result<Value> {
    let Some(entries) = params.entries("recurring")? else { return Ok(Value::Null) };
    let level = params.name("recurring");
    let inner = Params::at(entries, &level);
    inner.allow(&["interval", "interval_count", "usage_type"], &["meter", "trial_period_days"])?;
    inner.required("interval")?;
    Ok(json!({
        "interval": inner.one_of("interval", &["day", "week", "month", "year"])?,
        "interval_count": money::positive(inner, "interval_count")?.unwrap_or(1),
        "meter": null, "trial_period_days": null,
        "usage_type": inner.one_of("usage_type", &["licensed"])?.unwrap_or("licensed"),
    }))
}

/// Stores a new price and tells of it.
pub fn store(call: &mut Call, price: &Value) -> Arc<str> {
    let text = call.insert(Kind::Price, price);
    call.emit("price.created", text.clone(), None);
    text
}

fn check_lookup_key(call: &Call, key: &str, own_id: Option<&str>) -> Result<()> {
    let query = Query { clauses: vec![vec![("lookup_key", key.into())]], limit: 1, ..Query::default() };
    let taken = call.books().table(Kind::Price).and_then(|prices| {
        let (found, _) = prices.page(&query);
        found.first().map(|text| crate::stripe::json::parse(text))
    });
    match taken {
        Some(price) if price["id"].as_str() != own_id => {
            let message = format!(
                "A price (`{}`) already uses that lookup key.",
                price["id"].as_str().unwrap_or_default()
            );
            Err(ApiError::refused(None, message, Some("lookup_key")))
        }
        _ => Ok(()),
    }
}

pub fn create(call: &mut Call, params: Params) -> Result<Arc<str>> {
    params.allow(&KNOWN, &OTHERS)?;
    if let Some(key) = params.text("lookup_key")? {
        check_lookup_key(call, key, None)?;
    }
    // The price is judged before an inline product is made, so that a refusal leaves nothing behind.
    let mut price = build(call, &json!({ "id": null }), params)?;
    fields::set_texts(&mut price, params, &["lookup_key", "nickname"])?;
    fields::set_metadata(&mut price, params)?;
    let product = match (params.text("product")?, params.entries("product_data")?) {
        (Some(id), None) => call.referred(Kind::Product, id, "product")?,
        (None, Some(entries)) => products::create_inline(call, Params::at(entries, "product_data"), true)?,
        (Some(_), Some(_)) => {
            let message = "You may only specify one of these parameters: product, product_data.";
            return Err(ApiError::invalid(None, message, "product"));
        }
        (None, None) => return Err(ApiError::missing("product")),
    };
    price["product"] = product["id"].clone();
    Ok(store(call, &price))
}

/// The price in a product's `default_price_data[…]`, not yet stored.
pub fn build_for_product(call: &mut Call, product: &Value, params: Params) -> Result<Value> {
    params.allow(
        &["currency", "metadata", "recurring", "tax_behavior", "unit_amount"],
        &["currency_options", "custom_unit_amount", "unit_amount_decimal"],
    )?;
    let mut price = build(call, product, params)?;
    fields::set_metadata(&mut price, params)?;
    Ok(price)
}

/// The price in a cart's `price_data[…]`: for this cart only, so not active.
pub fn create_inline(call: &mut Call, params: Params) -> Result<Value> {
    params.allow(
        &["currency", "product", "product_data", "recurring", "tax_behavior", "unit_amount"],
        &["unit_amount_decimal"],
    )?;
    let mut price = build(call, &json!({ "id": null }), params)?;
    let product = match (params.text("product")?, params.entries("product_data")?) {
        (Some(id), None) => call.referred(Kind::Product, id, &params.name("product"))?,
        (None, Some(entries)) => {
            let level = params.name("product_data");
            products::create_inline(call, Params::at(entries, &level), false)?
        }
        _ => {
            let message = "You must specify either `product` or `product_data` when creating a price.";
            return Err(ApiError::invalid(None, message, params.name("product")));
        }
    };
    price["product"] = product["id"].clone();
    price["active"] = false.into();
    store(call, &price);
    Ok(price)
}

pub fn update(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(
        &["active", "lookup_key", "metadata", "nickname", "tax_behavior"],
        &["currency_options", "transfer_lookup_key"],
    )?;
    let old = call.find(Kind::Price, id)?;
    let mut price = old.clone();
    if let Some(key) = params.text("lookup_key")? {
        check_lookup_key(call, key, Some(id))?;
    }
    fields::set_booleans(&mut price, params, &["active"])?;
    fields::set_texts(&mut price, params, &["lookup_key", "nickname"])?;
    if let Some(behavior) = params.one_of("tax_behavior", &TAX_BEHAVIOR)? {
        price["tax_behavior"] = behavior.into();
    }
    fields::set_metadata(&mut price, params)?;
    Ok(call.update(Kind::Price, &old, &price, "price.updated"))
}
