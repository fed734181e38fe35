//! The invoices of subscriptions, and what their payment does to them
//! (<https://docs.stripe.com/billing/subscriptions/overview>).

use serde_json::Value;

use super::invoices::NewInvoice;
use super::{invoice_items, invoice_lines, invoice_steps, invoices, subscription_periods};
use crate::stripe::kinds::Kind;
use crate::stripe::world::Call;

/// The subscription that an invoice bills.
pub fn of_invoice(call: &Call, invoice: &Value) -> Option<Value> {
    let id = invoice["parent"]["subscription_details"]["subscription"].as_str()?;
    call.get(Kind::Subscription, id)
}

/// Drafts the invoice of a subscription's running period, with whatever else waits for it, and names it in the
/// subscription; the caller stores that. `auto_advance` has the draft go on by itself in an hour.
pub fn draft(call: &mut Call, subscription: &mut Value, reason: &'static str, auto_advance: bool) -> Value {
    let customer = call.linked(Kind::Customer, &subscription["customer"]);
    let currency = subscription["currency"].as_str().unwrap_or_default().to_owned();
    let new = NewInvoice {
        customer: &customer,
        currency: &currency,
        reason,
        collection_method: subscription["collection_method"].as_str().unwrap_or_default(),
        days_until_due: subscription["days_until_due"].as_i64(),
        subscription: Some(subscription),
        auto_advance,
    };
    let mut invoice = invoices::build(call, &new);
    let trial = subscription["status"] == "trialing";
    let items = subscription["items"]["data"].as_array().cloned().unwrap_or_default();
    let mut lines: Vec<Value> = items
        .iter()
        .map(|item| invoice_lines::of_subscription_item(call, subscription, item, trial))
        .collect();
    let pending = invoice_items::pending(call, customer["id"].as_str().unwrap_or_default(), Some(&currency));
    lines.extend(pending.iter().map(|item| invoice_lines::of_item(call, item)).collect::<Vec<_>>());
    invoice_items::assign(call, &pending, &invoice);
    invoices::store(call, &mut invoice, lines);
    subscription["latest_invoice"] = invoice["id"].clone();
    invoice
}

/// Finalizes a subscription's draft and has it paid, where that is Stripe's to do.
pub fn bill_now(call: &mut Call, draft: Value, collect: bool) {
    match invoice_steps::open(call, draft) {
        Ok(invoice) if invoice["status"] == "open" && collect => {
            invoice_steps::try_to_collect(call, &invoice);
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(error = %error.fields(), "a subscription's invoice stays a draft"),
    }
}

/// The invoice was paid: what waited for that becomes active.
pub fn hear_of_paid(call: &mut Call, invoice: &Value) {
    let Some(old) = of_invoice(call, invoice).filter(|old| old["latest_invoice"] == invoice["id"]) else {
        return;
    };
    let mut subscription = old.clone();
    match old["status"].as_str() {
        Some("incomplete" | "past_due" | "unpaid") => {
            subscription["status"] = "active".into();
            call.update(Kind::Subscription, &old, &subscription, "customer.subscription.updated");
        }
        Some("paused") => subscription_periods::resumed(call, &old, &mut subscription),
        _ => {}
    }
}

/// A payment of the invoice failed: an active subscription is past due, and ends when Stripe gives up.
pub fn hear_of_unpaid(call: &mut Call, invoice: &Value) {
    let Some(old) = of_invoice(call, invoice) else { return };
    if old["status"] != "active" && old["status"] != "past_due" {
        return;
    }
    let mut subscription = old.clone();
    if invoice["next_payment_attempt"].is_null() && old["status"] == "past_due" {
        subscription_periods::end(call, subscription, "payment_failed");
        return;
    }
    subscription["status"] = "past_due".into();
    call.update(Kind::Subscription, &old, &subscription, "customer.subscription.updated");
}
