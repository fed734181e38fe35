//! What time does to subscriptions: periods and trials end, pauses, renewals, the end.

use std::sync::Arc;

use serde_json::{Value, json};

use super::subscription_items::{period, set_period};
use super::{invoice_steps, subscription_billing};
use crate::stripe::agenda::Due;
use crate::stripe::kinds::Kind;
use crate::stripe::periods;
use crate::stripe::world::Call;

const UPDATED: &str = "customer.subscription.updated";

/// Three days before a trial ends, Stripe says so; at once where it is shorter.
const TRIAL_WARNING_SECONDS: i64 = 3 * 24 * 3600;

/// A first invoice may be paid for this long.
const INCOMPLETE_SECONDS: i64 = 23 * 3600;

fn is_alive(subscription: &Value) -> bool {
    ["active", "past_due", "trialing", "unpaid"].iter().any(|status| subscription["status"] == *status)
}

/// Begins a period at `start`: until the trial's end where there is one to come, else for one interval.
pub fn begin(call: &mut Call, subscription: &mut Value, start: i64) {
    let anchor = subscription["billing_cycle_anchor"].as_i64().unwrap_or(start);
    let recurring = &subscription["items"]["data"][0]["price"]["recurring"];
    let interval = recurring["interval"].as_str().unwrap_or_default();
    let count = recurring["interval_count"].as_i64().unwrap_or(1);
    let end = match subscription["trial_end"].as_i64() {
        Some(end) if end > start => end,
        _ => periods::next_end(anchor, start, interval, count),
    };
    set_period(subscription, start, end);
    note(call, subscription, end, Due::PeriodEnds);
}

fn note(call: &mut Call, subscription: &Value, at: i64, due: impl FnOnce(Arc<str>) -> Due) {
    let id = subscription["id"].as_str().unwrap_or_default().into();
    call.books_mut().agenda.note(at, due(id));
}

/// Notes what is to come of a new subscription besides its period's end.
pub fn foresee(call: &mut Call, subscription: &Value) {
    match (subscription["status"].as_str(), subscription["trial_end"].as_i64()) {
        (Some("trialing"), Some(end)) => {
            let at = (end - TRIAL_WARNING_SECONDS).max(call.now);
            note(call, subscription, at, Due::TrialWillEnd);
        }
        (Some("incomplete"), _) => {
            note(call, subscription, call.now + INCOMPLETE_SECONDS, Due::IncompleteExpires);
        }
        _ => {}
    }
    foresee_end(call, subscription);
}

/// Notes when a subscription is to end, where that is set.
pub fn foresee_end(call: &mut Call, subscription: &Value) {
    if let Some(at) = subscription["cancel_at"].as_i64() {
        note(call, subscription, at, Due::SubscriptionEnds);
    }
}

pub fn trial_will_end(call: &mut Call, id: &str) {
    let trialing =
        call.get(Kind::Subscription, id).filter(|subscription| subscription["status"] == "trialing");
    if trialing.is_some() {
        let text = call.text(Kind::Subscription, id).expect("it was just found");
        call.emit("customer.subscription.trial_will_end", text, None);
    }
}

/// The first invoice was not paid in time.
pub fn expire_incomplete(call: &mut Call, id: &str) {
    let old = call.get(Kind::Subscription, id).filter(|old| old["status"] == "incomplete");
    let Some(old) = old else { return };
    let mut subscription = old.clone();
    subscription["status"] = "incomplete_expired".into();
    subscription["ended_at"] = call.now.into();
    call.update(Kind::Subscription, &old, &subscription, UPDATED);
    let invoice = call.linked(Kind::Invoice, &subscription["latest_invoice"]);
    if invoice["status"] == "open" {
        // A payment under way keeps the invoice open.
        let _ = invoice_steps::void_unpaid(call, invoice);
    }
}

/// The period is over: the next one begins and is billed, unless the subscription ends or pauses here.
pub fn end_period(call: &mut Call, id: &str) {
    let old = call.get(Kind::Subscription, id).filter(is_alive);
    // An earlier end that was moved is not one.
    let Some(old) = old.filter(|old| period(old).1 == call.now) else { return };
    if old["cancel_at_period_end"] == true {
        end(call, old, "cancellation_requested");
    } else {
        renew(call, old, false);
    }
}

/// Begins the next period. `at_once` bills it without the hour that a draft waits.
pub fn renew(call: &mut Call, old: Value, at_once: bool) {
    let mut subscription = old.clone();
    let trial_ended = old["status"] == "trialing";
    if trial_ended && pause_or_end(call, &old) {
        return;
    }
    if trial_ended {
        subscription["status"] = "active".into();
        subscription["billing_cycle_anchor"] = call.now.into();
        subscription["trial_end"] = call.now.into();
    }
    begin(call, &mut subscription, call.now);
    let advances = !at_once && subscription["pause_collection"]["behavior"] != "keep_as_draft";
    let draft = subscription_billing::draft(call, &mut subscription, "subscription_cycle", advances);
    call.update(Kind::Subscription, &old, &subscription, UPDATED);
    if at_once {
        let collect = subscription["collection_method"] == "charge_automatically";
        subscription_billing::bill_now(call, draft, collect);
    }
}

/// A trial that ends without a way to pay may pause or end the subscription.
fn pause_or_end(call: &mut Call, old: &Value) -> bool {
    let customer = call.linked(Kind::Customer, &old["customer"]);
    let methods = [&old["default_payment_method"], &customer["invoice_settings"]["default_payment_method"]];
    if methods.iter().any(|method| !method.is_null()) || old["collection_method"] == "send_invoice" {
        return false;
    }
    match old["trial_settings"]["end_behavior"]["missing_payment_method"].as_str() {
        Some("cancel") => end(call, old.clone(), "payment_failed"),
        Some("pause") => {
            let mut subscription = old.clone();
            subscription["status"] = "paused".into();
            subscription["trial_end"] = call.now.into();
            let text = call.update(Kind::Subscription, old, &subscription, UPDATED);
            call.emit("customer.subscription.paused", text, None);
        }
        _ => return false,
    }
    true
}

/// What it was resumed for is paid.
pub fn resumed(call: &mut Call, old: &Value, subscription: &mut Value) {
    subscription["status"] = "active".into();
    let text = call.update(Kind::Subscription, old, subscription, UPDATED);
    call.emit("customer.subscription.resumed", text, None);
}

/// It ends at the second that was set for it.
pub fn end_as_planned(call: &mut Call, id: &str) {
    let subscription = call.get(Kind::Subscription, id).filter(is_alive);
    if let Some(subscription) = subscription.filter(|subscription| subscription["cancel_at"] == call.now) {
        end(call, subscription, "cancellation_requested");
    }
}

/// It ends now; nothing is given back for the rest of the period.
pub fn end(call: &mut Call, mut subscription: Value, reason: &str) {
    subscription["status"] = "canceled".into();
    subscription["ended_at"] = call.now.into();
    if subscription["canceled_at"].is_null() {
        subscription["canceled_at"] = call.now.into();
    }
    if subscription["cancellation_details"]["reason"].is_null() {
        subscription["cancellation_details"]["reason"] = json!(reason);
    }
    let text = call.replace(Kind::Subscription, &subscription);
    call.emit("customer.subscription.deleted", text, None);
}
