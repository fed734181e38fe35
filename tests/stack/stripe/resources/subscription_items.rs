//! The items of subscriptions: a price, how many of it, and the period that is paid for
//! (<https://docs.stripe.com/api/subscription_items>). They live in their subscription.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{fields, money, prices};
use crate::stripe::errors::{ApiError, Result};
use crate::stripe::form::{Form, Params};
use crate::stripe::json;
use crate::stripe::kinds::Kind;
use crate::stripe::pages::{self, Page, Reply};
use crate::stripe::world::Call;

const ITEMS_MAX: usize = 20;
const KNOWN: [&str; 4] = ["metadata", "price", "price_data", "quantity"];
const OTHERS: [&str; 5] = ["billing_thresholds", "discounts", "plan", "tax_rates", "trial"];

/// Reads `items[…]` into items without period and subscription.
pub fn read(call: &mut Call, params: Params) -> Result<Vec<Value>> {
    let entries = params.entries("items")?.filter(|entries| !entries.is_empty());
    let entries = entries.ok_or_else(|| ApiError::missing("items"))?;
    if entries.len() > ITEMS_MAX {
        let message = format!("You may only specify up to {ITEMS_MAX} items.");
        return Err(ApiError::invalid(None, message, "items"));
    }
    let mut items = Vec::new();
    for (index, entry) in entries {
        let level = format!("items[{index}]");
        let Form::Map(inner) = entry else {
            return Err(ApiError::invalid(None, format!("Invalid hash: {level}"), level));
        };
        let inner = Params::at(inner, &level);
        inner.allow(&KNOWN, &OTHERS)?;
        items.push(build(call, inner)?);
    }
    check_alike(&items)?;
    Ok(items)
}

fn build(call: &mut Call, params: Params) -> Result<Value> {
    let price = price(call, params)?.ok_or_else(|| ApiError::missing(&params.name("price")))?;
    let id = call.new_id("si_", 14);
    let mut item = json!({
        "id": &*id, "object": "subscription_item", "billing_thresholds": null, "created": call.now,
        "current_period_end": null, "current_period_start": null, "discounts": [], "metadata": {}, "plan": null,
        "price": null, "quantity": money::positive(params, "quantity")?.unwrap_or(1), "subscription": null,
        "tax_rates": [],
    });
    set_price(&mut item, price);
    fields::set_metadata(&mut item, params)?;
    Ok(item)
}

fn price(call: &mut Call, params: Params) -> Result<Option<Value>> {
    let price = match (params.text("price")?, params.entries("price_data")?) {
        (Some(id), _) => call.referred(Kind::Price, id, &params.name("price"))?,
        (None, Some(entries)) => {
            let level = params.name("price_data");
            prices::create_inline(call, Params::at(entries, &level))?
        }
        (None, None) => return Ok(None),
    };
    if price["type"] != "recurring" {
        let message = "The price specified is set to `type=one_time` but this field only accepts prices with \
                       `type=recurring`.";
        return Err(ApiError::refused(None, message, Some(&params.name("price"))));
    }
    Ok(Some(price))
}

fn set_price(item: &mut Value, price: Value) {
    let recurring = &price["recurring"];
    // The older form of the price, which Stripe still shows beside it.
    item["plan"] = json!({
        "id": price["id"], "object": "plan", "active": price["active"], "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"], "billing_scheme": "per_unit", "created": price["created"],
        "currency": price["currency"], "interval": recurring["interval"],
        "interval_count": recurring["interval_count"], "livemode": false, "metadata": price["metadata"],
        "meter": null, "nickname": price["nickname"], "product": price["product"], "tiers_mode": null,
        "transform_usage": null, "trial_period_days": null, "usage_type": "licensed",
    });
    item["price"] = price;
}

/// All items of a subscription have one currency and one interval here.
fn check_alike(items: &[Value]) -> Result<()> {
    let Some(first) = items.first() else { return Ok(()) };
    for item in items {
        if item["price"]["currency"] != first["price"]["currency"] {
            let message = "All prices on a subscription must have the same `currency`.";
            return Err(ApiError::refused(None, message, Some("items")));
        }
        let recurring = |item: &Value| {
            (
                item["price"]["recurring"]["interval"].clone(),
                item["price"]["recurring"]["interval_count"].clone(),
            )
        };
        if recurring(item) != recurring(first) {
            return Err(ApiError::not_simulated("items with different intervals"));
        }
    }
    Ok(())
}

/// Changes the items of a subscription by `items[…]`: with an `id` an item is changed or deleted, without one it is
/// added. New ones take part in the running period.
pub fn change(call: &mut Call, subscription: &mut Value, params: Params) -> Result<()> {
    let Some(entries) = params.entries("items")? else { return Ok(()) };
    let mut items = subscription["items"]["data"].as_array().cloned().unwrap_or_default();
    for (index, entry) in entries {
        let level = format!("items[{index}]");
        let Form::Map(inner) = entry else {
            return Err(ApiError::invalid(None, format!("Invalid hash: {level}"), level));
        };
        let inner = Params::at(inner, &level);
        inner.allow(&[&KNOWN[..], &["deleted", "id"]].concat(), &[&OTHERS[..], &["clear_usage"]].concat())?;
        let Some(id) = inner.text("id")? else {
            let mut item = build(call, inner)?;
            for field in ["current_period_end", "current_period_start"] {
                item[field] = items[0][field].clone();
            }
            item["subscription"] = subscription["id"].clone();
            items.push(item);
            continue;
        };
        let Some(at) = items.iter().position(|item| item["id"] == id) else {
            return Err(ApiError::no_such("subscription item", id, &inner.name("id"), 400));
        };
        if inner.boolean("deleted")? == Some(true) {
            items.remove(at);
            continue;
        }
        if let Some(price) = price(call, inner)? {
            set_price(&mut items[at], price);
        }
        if let Some(quantity) = money::positive(inner, "quantity")? {
            items[at]["quantity"] = quantity.into();
        }
        fields::set_metadata(&mut items[at], inner)?;
    }
    if items.is_empty() {
        let message =
            "A subscription must have at least one active plan. To cancel it, use the cancel endpoint.";
        return Err(ApiError::refused(None, message, Some("items")));
    }
    check_alike(&items)?;
    put(subscription, items);
    Ok(())
}

/// Puts items into their subscription, oldest last, as Stripe shows them.
pub fn put(subscription: &mut Value, items: Vec<Value>) {
    let id = subscription["id"].as_str().unwrap_or_default();
    subscription["items"] = json!({
        "object": "list", "data": items, "has_more": false, "total_count": items.len(),
        "url": format!("/v1/subscription_items?subscription={id}"),
    });
}

/// Has the items' period be this one.
pub fn set_period(subscription: &mut Value, start: i64, end: i64) {
    let id = subscription["id"].clone();
    for item in subscription["items"]["data"].as_array_mut().into_iter().flatten() {
        item["current_period_start"] = start.into();
        item["current_period_end"] = end.into();
        item["subscription"] = id.clone();
    }
}

/// When the running period began and ends.
pub fn period(subscription: &Value) -> (i64, i64) {
    let item = &subscription["items"]["data"][0];
    let second = |field: &str| item[field].as_i64().unwrap_or_default();
    (second("current_period_start"), second("current_period_end"))
}

/// `GET /v1/subscription_items`: of one subscription.
pub fn list(call: &Call, params: Params) -> Result<Reply> {
    pages::allow(params, &["subscription"])?;
    let id = params.required("subscription")?;
    let subscription = call.referred(Kind::Subscription, id, "subscription")?;
    let items = subscription["items"]["data"].as_array().cloned().unwrap_or_default();
    let ids: Vec<&str> = items.iter().filter_map(|item| item["id"].as_str()).collect();
    let (range, has_more) = pages::slice(params, "subscription item", &ids)?;
    let items = items[range].iter().map(|item| json::compact(item).into()).collect();
    Ok(Reply::Page(Page { items, has_more, url: "/v1/subscription_items".to_owned() }))
}

/// `GET /v1/subscription_items/:id`.
pub fn retrieve(call: &Call, id: &str) -> Result<Arc<str>> {
    let all = call.books().table(Kind::Subscription).into_iter().flat_map(|table| table.bodies());
    let mut items = all
        .filter(|text| text.contains(id))
        .flat_map(|text| json::parse(text)["items"]["data"].as_array().cloned().unwrap_or_default());
    let item = items.find(|item| item["id"] == id);
    item.map(|item| json::compact(&item).into())
        .ok_or_else(|| ApiError::no_such("subscription item", id, "item", 404))
}
