//! The line items of checkout sessions (<https://docs.stripe.com/api/checkout/sessions/line_items>).

use std::sync::Arc;

use serde_json::{Value, json};

use super::{money, prices};
use crate::stripe::errors::{ApiError, Result};
use crate::stripe::form::{Form, Params};
use crate::stripe::json;
use crate::stripe::kinds::Kind;
use crate::stripe::pages::{self, Page, Reply};
use crate::stripe::world::Call;

const CART_MAX: usize = 100;
const EMBEDDED: usize = 10;

/// A cart as a session was asked for it.
pub struct Cart {
    pub items: Vec<Value>,
    pub currency: String,
    pub total: i64,
}

/// Reads and judges `line_items[…]`. Inline prices and products are made on the way.
pub fn read_cart(call: &mut Call, entries: &[(String, Form)]) -> Result<Cart> {
    if entries.is_empty() {
        return Err(ApiError::missing("line_items"));
    }
    if entries.len() > CART_MAX {
        let message = format!("You may only specify up to {CART_MAX} line items.");
        return Err(ApiError::invalid(None, message, "line_items"));
    }
    let mut cart = Cart { items: Vec::new(), currency: String::new(), total: 0 };
    for (index, entry) in entries {
        let level = format!("line_items[{index}]");
        let Form::Map(inner) = entry else {
            return Err(ApiError::invalid(None, format!("Invalid hash: {level}"), level));
        };
        add_item(call, &mut cart, Params::at(inner, &level))?;
    }
    Ok(cart)
}

fn add_item(call: &mut Call, cart: &mut Cart, params: Params) -> Result<()> {
    params.allow(
        &["metadata", "price", "price_data", "quantity"],
        &["adjustable_quantity", "dynamic_tax_rates", "tax_rates"],
    )?;
    let quantity = money::positive(params, "quantity")?;
    let price = match (params.text("price")?, params.entries("price_data")?) {
        (Some(id), None) => listed_price(call, id, &params.name("price"))?,
        (None, Some(entries)) => {
            let level = params.name("price_data");
            prices::create_inline(call, Params::at(entries, &level))?
        }
        (Some(_), Some(_)) => {
            let message = "You may only specify one of these parameters: price, price_data.";
            return Err(ApiError::invalid(None, message, params.name("price")));
        }
        (None, None) => return Err(ApiError::missing(&params.name("price"))),
    };
    let Some(quantity) = quantity else {
        let message =
            format!("Quantity is required. Add `quantity` to `{}`", params.name("").trim_end_matches("[]"));
        return Err(ApiError::invalid(Some("parameter_missing"), message, params.name("quantity")));
    };
    if price["type"] == "recurring" {
        let message = "You specified `payment` mode but passed a recurring price. Either switch to `subscription` mode or \
                       use only one-time prices.";
        return Err(ApiError::refused(None, message, Some(&params.name("price"))));
    }
    let currency = price["currency"].as_str().unwrap_or_default();
    if cart.currency.is_empty() {
        currency.clone_into(&mut cart.currency);
    } else if cart.currency != currency {
        let message = format!(
            "The price specified in `{}` has the currency `{currency}`, but the others have `{}`. All prices of a session \
             must have one currency.",
            params.name("price"),
            cart.currency
        );
        return Err(ApiError::refused(None, message, Some(&params.name("price"))));
    }
    let amount = price["unit_amount"]
        .as_i64()
        .unwrap_or_default()
        .checked_mul(quantity)
        .and_then(|amount| Some((amount, cart.total.checked_add(amount)?)));
    let Some((amount, total)) = amount else {
        let message = "The total of the session is too large.";
        return Err(ApiError::refused(Some("amount_too_large"), message, Some(&params.name("quantity"))));
    };
    let product = call.linked(Kind::Product, &price["product"]);
    let id = call.new_id("li_1", 23);
    cart.total = total;
    cart.items.push(json!({
        "id": &*id, "object": "item", "adjustable_quantity": null, "amount_discount": 0, "amount_subtotal": amount,
        "amount_tax": 0, "amount_total": amount, "currency": currency, "description": product["name"], "metadata": {},
        "price": price["id"], "quantity": quantity,
    }));
    Ok(())
}

fn listed_price(call: &Call, id: &str, param: &str) -> Result<Value> {
    let price = call.referred(Kind::Price, id, param)?;
    if price["active"] != true {
        let message = "The price specified is inactive. This field only accepts active prices.";
        return Err(ApiError::refused(None, message, Some(param)));
    }
    let product = call.linked(Kind::Product, &price["product"]);
    if product["active"] != true {
        let product_id = product["id"].as_str().unwrap_or_default();
        let message = format!(
            "The product `{product_id}` of the price specified is inactive. Only active products can be sold."
        );
        return Err(ApiError::refused(None, message, Some(param)));
    }
    Ok(price)
}

/// Keeps a cart with its session.
pub fn store(call: &mut Call, session: &str, cart: &Cart) {
    let items = cart.items.iter().map(|item| json::compact(item).into()).collect();
    call.books_mut().line_items.insert(session.into(), items);
}

/// A line item with its price as it is now.
fn present(call: &Call, stored: &str) -> Arc<str> {
    let mut item = json::parse(stored);
    item["price"] = call.linked(Kind::Price, &item["price"]);
    json::compact(&item).into()
}

fn page(call: &Call, session: &str, range: std::ops::Range<usize>, has_more: bool) -> Page {
    let items = call.books().line_items.get(session).map_or(&[][..], Vec::as_slice);
    Page {
        items: items[range].iter().map(|item| present(call, item)).collect(),
        has_more,
        url: format!("/v1/checkout/sessions/{session}/line_items"),
    }
}

fn count(call: &Call, session: &str) -> usize {
    call.books().line_items.get(session).map_or(0, Vec::len)
}

/// The first items as the list inside an expanded session.
pub fn embedded(call: &Call, session: &Value) -> Value {
    let id = session["id"].as_str().unwrap_or_default();
    let count = count(call, id);
    json::parse(&page(call, id, 0..count.min(EMBEDDED), count > EMBEDDED).render())
}

/// `GET /v1/checkout/sessions/:id/line_items`: in the order of the cart.
pub fn list(call: &Call, session: &str, params: Params) -> Result<Reply> {
    pages::allow(params, &[])?;
    call.find(Kind::CheckoutSession, session)?;
    let items = call.books().line_items.get(session).map_or(&[][..], Vec::as_slice);
    let items: Vec<Value> = items.iter().map(|item| json::parse(item)).collect();
    let ids: Vec<&str> = items.iter().filter_map(|item| item["id"].as_str()).collect();
    let (range, has_more) = pages::slice(params, "line item", &ids)?;
    Ok(Reply::Page(page(call, session, range, has_more)))
}
