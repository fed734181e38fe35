//! The lines of invoices (<https://docs.stripe.com/api/invoice-line-item>).

use std::sync::Arc;

use serde_json::{Value, json};

use super::money;
use crate::stripe::errors::Result;
use crate::stripe::form::Params;
use crate::stripe::json;
use crate::stripe::kinds::Kind;
use crate::stripe::pages::{self, Page, Reply};
use crate::stripe::world::Call;

/// An invoice shows this many of its lines; the rest are listed.
const EMBEDDED: usize = 10;

/// The line of an invoice item.
pub fn of_item(call: &mut Call, item: &Value) -> Value {
    let mut line = build(call, item["amount"].as_i64().unwrap_or_default(), &item["currency"]);
    for field in ["description", "metadata", "period", "pricing", "quantity", "quantity_decimal"] {
        line[field] = item[field].clone();
    }
    line["parent"] = json!({
        "invoice_item_details": {
            "invoice_item": item["id"], "proration": false, "proration_details": { "credited_items": null },
            "subscription": null,
        },
        "subscription_item_details": null, "type": "invoice_item_details",
    });
    line
}

/// The line of a subscription's item, for its current period; nothing is billed on trial.
pub fn of_subscription_item(call: &mut Call, subscription: &Value, item: &Value, trial: bool) -> Value {
    let price = &item["price"];
    let quantity = item["quantity"].as_i64().unwrap_or(1);
    let unit = price["unit_amount"].as_i64().unwrap_or_default();
    let product = call.linked(Kind::Product, &price["product"]);
    let name = product["name"].as_str().unwrap_or_default();
    let (amount, description) = if trial {
        (0, format!("Trial period for {name}"))
    } else {
        let every = match price["recurring"]["interval_count"].as_i64() {
            Some(count) if count > 1 => format!("every {count} {}s", text(&price["recurring"]["interval"])),
            _ => text(&price["recurring"]["interval"]).to_owned(),
        };
        let each = money::display(unit, text(&price["currency"]));
        (unit * quantity, format!("{quantity} × {name} (at {each} / {every})"))
    };
    let mut line = build(call, amount, &price["currency"]);
    line["description"] = description.into();
    line["metadata"] = subscription["metadata"].clone();
    line["period"] = json!({ "end": item["current_period_end"], "start": item["current_period_start"] });
    line["quantity"] = quantity.into();
    line["quantity_decimal"] = quantity.to_string().into();
    line["pricing"] = json!({
        "price_details": { "price": price["id"], "product": price["product"] }, "type": "price_details",
        "unit_amount_decimal": unit.to_string(),
    });
    line["parent"] = json!({
        "invoice_item_details": null,
        "subscription_item_details": {
            "invoice_item": null, "proration": false, "proration_details": { "credited_items": null },
            "subscription": subscription["id"], "subscription_item": item["id"],
        },
        "type": "subscription_item_details",
    });
    line
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn build(call: &mut Call, amount: i64, currency: &Value) -> Value {
    let id = call.new_id("il_1", 23);
    json!({
        "id": &*id, "object": "line_item", "amount": amount, "currency": currency, "description": null,
        "discount_amounts": [], "discountable": true, "discounts": [], "invoice": null, "livemode": false,
        "metadata": {}, "parent": null, "period": null, "pretax_credit_amounts": [], "pricing": null, "quantity": 1,
        "quantity_decimal": "1", "subtotal": amount, "taxes": [],
    })
}

/// Puts lines on an invoice and sums them up.
pub fn put(call: &mut Call, invoice: &mut Value, mut lines: Vec<Value>) {
    let id: Arc<str> = text(&invoice["id"]).into();
    for line in &mut lines {
        line["invoice"] = (*id).into();
    }
    let total: i64 = lines.iter().filter_map(|line| line["amount"].as_i64()).sum();
    for field in [
        "amount_due",
        "amount_remaining",
        "subtotal",
        "subtotal_excluding_tax",
        "total",
        "total_excluding_tax",
    ] {
        invoice[field] = total.into();
    }
    invoice["lines"] = json!({
        "object": "list", "data": lines.iter().take(EMBEDDED).collect::<Vec<_>>(), "has_more": lines.len() > EMBEDDED,
        "total_count": lines.len(), "url": format!("/v1/invoices/{id}/lines"),
    });
    call.books_mut().invoice_lines.insert(id, lines);
}

/// `GET /v1/invoices/:id/lines`: in the order of the invoice.
pub fn list(call: &Call, invoice: &str, params: Params) -> Result<Reply> {
    pages::allow(params, &[])?;
    call.find(Kind::Invoice, invoice)?;
    let lines = call.books().invoice_lines.get(invoice).map_or(&[][..], Vec::as_slice);
    let ids: Vec<&str> = lines.iter().filter_map(|line| line["id"].as_str()).collect();
    let (range, has_more) = pages::slice(params, "line item", &ids)?;
    let items = lines[range].iter().map(|line| json::compact(line).into()).collect();
    Ok(Reply::Page(Page { items, has_more, url: format!("/v1/invoices/{invoice}/lines") }))
}
