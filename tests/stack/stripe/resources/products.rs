//! Products (<https://docs.stripe.com/api/products>).

use std::sync::Arc;

use serde_json::{Value, json};

use super::{fields, prices};
use crate::stripe::errors::{ApiError, Result};
use crate::stripe::form::Params;
use crate::stripe::kinds::Kind;
use crate::stripe::pages::{Filter, Sort};
use crate::stripe::table::Query;
use crate::stripe::world::{Call, deleted};

pub const FILTERS: [Filter; 4] = [
    Filter::new("active", Sort::Boolean),
    Filter { param: "ids", field: "id", sort: Sort::Texts },
    Filter::new("shippable", Sort::Boolean),
    Filter::new("url", Sort::Text),
];

const KNOWN: [&str; 12] = [
    "active",
    "default_price",
    "default_price_data",
    "description",
    "id",
    "images",
    "metadata",
    "name",
    "shippable",
    "statement_descriptor",
    "unit_label",
    "url",
];
const OTHERS: [&str; 5] =
    ["features", "marketing_features", "package_dimensions", "provisioning", "tax_code"];

fn build(call: &mut Call, id: Option<&str>) -> Value {
    let id = id.map_or_else(|| call.new_id("prod_", 14), Arc::from);
    json!({
        "id": &*id, "object": "product", "active": true, "created": call.now, "default_price": null,
        "description": null, "images": [], "livemode": false, "marketing_features": [], "metadata": {}, "name": null,
        "package_dimensions": null, "shippable": null, "statement_descriptor": null, "tax_code": null,
        "type": "service", "unit_label": null, "updated": call.now, "url": null,
    })
}

fn apply(product: &mut Value, params: Params) -> Result<()> {
    if params.has("name") {
        product["name"] = params.required("name")?.into();
    }
    fields::set_texts(product, params, &["description", "statement_descriptor", "unit_label", "url"])?;
    fields::set_booleans(product, params, &["active", "shippable"])?;
    fields::set_lists(product, params, &["images"])?;
    fields::set_metadata(product, params)
}

pub fn create(call: &mut Call, params: Params) -> Result<Arc<str>> {
    params.allow(&KNOWN, &OTHERS)?;
    if params.has("default_price") {
        return Err(ApiError::unknown_parameters(&["default_price".to_owned()]));
    }
    params.required("name")?;
    let id = params.text("id")?;
    if let Some(id) = id
        && call.get(Kind::Product, id).is_some()
    {
        return Err(ApiError::refused(
            Some("resource_already_exists"),
            "Product already exists.",
            Some("id"),
        ));
    }
    let mut product = build(call, id);
    apply(&mut product, params)?;
    let price = match params.entries("default_price_data")? {
        None => None,
        Some(entries) => {
            let price = prices::build_for_product(call, &product, Params::at(entries, "default_price_data"))?;
            product["default_price"] = price["id"].clone();
            Some(price)
        }
    };
    let text = call.insert(Kind::Product, &product);
    call.emit("product.created", text.clone(), None);
    if let Some(price) = price {
        prices::store(call, &price);
    }
    Ok(text)
}

/// A product for one cart or one price, from `product_data[…]`. Those of a cart are not for sale again.
pub fn create_inline(call: &mut Call, params: Params, active: bool) -> Result<Value> {
    params.allow(
        &["active", "description", "images", "metadata", "name", "statement_descriptor", "unit_label"],
        &["tax_code", "id"],
    )?;
    params.required("name")?;
    let mut product = build(call, None);
    product["active"] = active.into();
    apply(&mut product, params)?;
    let text = call.insert(Kind::Product, &product);
    call.emit("product.created", text, None);
    Ok(product)
}

pub fn update(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(&KNOWN, &OTHERS)?;
    for name in ["default_price_data", "id"] {
        if params.has(name) {
            return Err(ApiError::unknown_parameters(&[name.to_owned()]));
        }
    }
    let old = call.find(Kind::Product, id)?;
    let mut product = old.clone();
    if let Some(price) = params.nullable("default_price")? {
        if let Some(price_id) = price {
            let price = call.referred(Kind::Price, price_id, "default_price")?;
            if price["product"] != id {
                let message = format!("The price `{price_id}` does not belong to the product `{id}`.");
                return Err(ApiError::refused(None, message, Some("default_price")));
            }
        }
        product["default_price"] = price.into();
    }
    apply(&mut product, params)?;
    if product != old {
        product["updated"] = call.now.into();
    }
    Ok(call.update(Kind::Product, &old, &product, "product.updated"))
}

pub fn delete(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(&[], &[])?;
    call.find(Kind::Product, id)?;
    let query = Query { clauses: vec![vec![("product", id.into())]], limit: 1, ..Query::default() };
    let priced = call.books().table(Kind::Price).is_some_and(|prices| !prices.page(&query).0.is_empty());
    if priced {
        let message = "This product cannot be deleted because it has one or more user-created prices.";
        return Err(ApiError::refused(None, message, None));
    }
    let text = call.remove(Kind::Product, id).expect("it was just found");
    call.emit("product.deleted", text, None);
    Ok(deleted("product", id))
}
