//! Subscriptions, as a seller makes and changes them (<https://docs.stripe.com/api/subscriptions>). What time does to
//! them is in `subscription_periods`, their invoices in `subscription_billing`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    fields, invoice_steps, invoices, subscription_billing, subscription_items, subscription_periods,
    test_methods,
};
use crate::stripe::errors::{ApiError, Result};
use crate::stripe::form::Params;
use crate::stripe::json;
use crate::stripe::kinds::Kind;
use crate::stripe::pages::{self, Filter, Page, Reply, Sort};
use crate::stripe::table::{Key, Query};
use crate::stripe::world::Call;

const FILTERS: [Filter; 3] = [
    Filter::new("collection_method", Sort::Text),
    Filter::new("customer", Sort::Id(Kind::Customer)),
    Filter { param: "price", field: "items.data[].price.id", sort: Sort::Id(Kind::Price) },
];

const STATUSES: [&str; 8] =
    ["active", "canceled", "incomplete", "incomplete_expired", "past_due", "paused", "trialing", "unpaid"];

const OTHERS: [&str; 20] = [
    "add_invoice_items",
    "application_fee_percent",
    "automatic_tax",
    "backdate_start_date",
    "billing_cycle_anchor",
    "billing_cycle_anchor_config",
    "billing_mode",
    "billing_thresholds",
    "currency",
    "customer_account",
    "default_source",
    "default_tax_rates",
    "discounts",
    "invoice_settings",
    "on_behalf_of",
    "payment_settings",
    "pending_invoice_item_interval",
    "transfer_data",
    "trial_from_plan",
    "billing_schedules",
];

const DAY_SECONDS: i64 = 24 * 3600;
const UPDATED: &str = "customer.subscription.updated";

pub fn create(call: &mut Call, params: Params) -> Result<Arc<str>> {
    params.allow(
        &[
            "cancel_at",
            "cancel_at_period_end",
            "collection_method",
            "customer",
            "days_until_due",
            "default_payment_method",
            "description",
            "items",
            "metadata",
            "off_session",
            "payment_behavior",
            "trial_end",
            "trial_period_days",
            "trial_settings",
        ],
        &[&OTHERS[..], &["proration_behavior"]].concat(),
    )?;
    let customer = call.referred(Kind::Customer, params.required("customer")?, "customer")?;
    let collection =
        params.one_of("collection_method", &invoices::COLLECTION)?.unwrap_or(invoices::COLLECTION[0]);
    let days_until_due = invoices::days_until_due(params, collection)?;
    let behaviors = ["allow_incomplete", "default_incomplete", "error_if_incomplete"];
    let behavior = params.one_of("payment_behavior", &behaviors)?.unwrap_or(behaviors[0]);
    params.boolean("off_session")?;
    let trial_end = trial_end(call, params)?;
    let items = subscription_items::read(call, params)?;
    let mut subscription = build(call, &customer, collection, days_until_due, items);
    apply(call, &mut subscription, params)?;
    if let Some(end) = trial_end {
        subscription["trial_start"] = call.now.into();
        subscription["trial_end"] = end.into();
        subscription["billing_cycle_anchor"] = end.into();
    }
    let charged = collection == "charge_automatically" && trial_end.is_none() && total(&subscription) > 0;
    let collect = charged && behavior != "default_incomplete";
    if collect {
        check_method(call, &subscription, &customer, behavior)?;
    }
    subscription["status"] = match (trial_end, charged) {
        (Some(_), _) => "trialing",
        (None, true) => "incomplete",
        (None, false) => "active",
    }
    .into();
    Ok(start(call, subscription, collect))
}

/// Stores a subscription, bills its first period and tells of it.
pub fn start(call: &mut Call, mut subscription: Value, collect: bool) -> Arc<str> {
    let id = subscription["id"].as_str().unwrap_or_default().to_owned();
    let now = call.now;
    subscription_periods::begin(call, &mut subscription, now);
    call.insert(Kind::Subscription, &subscription);
    // One that is sent waits an hour as a draft; one that is charged, or is of nothing, is due at once.
    let sent = subscription["collection_method"] == "send_invoice" && subscription["status"] != "trialing";
    let draft = subscription_billing::draft(call, &mut subscription, "subscription_create", sent);
    let text = call.replace(Kind::Subscription, &subscription);
    call.emit("customer.subscription.created", text, None);
    subscription_periods::foresee(call, &subscription);
    if !sent {
        subscription_billing::bill_now(call, draft, collect);
    }
    call.text(Kind::Subscription, &id).expect("it was just stored")
}

fn total(subscription: &Value) -> i64 {
    let amount = |item: &Value| Some(item["price"]["unit_amount"].as_i64()? * item["quantity"].as_i64()?);
    subscription["items"]["data"].as_array().into_iter().flatten().filter_map(amount).sum()
}

/// Refuses a subscription that nothing can pay, or whose payment would fail where that is not wanted.
fn check_method(call: &Call, subscription: &Value, customer: &Value, behavior: &str) -> Result<()> {
    let methods =
        [&subscription["default_payment_method"], &customer["invoice_settings"]["default_payment_method"]];
    let method = methods.iter().find_map(|method| call.get(Kind::PaymentMethod, method.as_str()?));
    let method = method.ok_or_else(invoice_steps::no_method)?;
    match test_methods::decline(&method).filter(|_| behavior == "error_if_incomplete") {
        Some((code, decline_code, message)) => Err(ApiError::card(code, decline_code, message)),
        None => Ok(()),
    }
}

/// A subscription's object, not yet stored: `incomplete`, without period.
pub fn build(
    call: &mut Call,
    customer: &Value,
    collection_method: &str,
    days_until_due: Option<i64>,
    items: Vec<Value>,
) -> Value {
    let id = call.new_id("sub_1", 23);
    let currency = items[0]["price"]["currency"].clone();
    let mut subscription = json!({
        "id": &*id, "object": "subscription", "application": null, "application_fee_percent": null,
        "automatic_tax": { "disabled_reason": null, "enabled": false, "liability": null },
        "billing_cycle_anchor": call.now, "billing_cycle_anchor_config": null,
        "billing_mode": { "flexible": null, "type": "classic" }, "billing_schedules": [], "billing_thresholds": null,
        "cancel_at": null, "cancel_at_period_end": false, "canceled_at": null,
        "cancellation_details": { "comment": null, "feedback": null, "reason": null },
        "collection_method": collection_method, "created": call.now, "currency": currency,
        "customer": customer["id"], "customer_account": null, "days_until_due": days_until_due,
        "default_payment_method": null, "default_source": null, "default_tax_rates": [], "description": null,
        "discounts": [], "ended_at": null,
        "invoice_settings": {
            "account_tax_ids": null, "custom_fields": null, "description": null, "footer": null,
            "issuer": { "type": "self" },
        },
        "items": null, "latest_invoice": null, "livemode": false, "managed_payments": { "enabled": false },
        "metadata": {}, "next_pending_invoice_item_invoice": null, "on_behalf_of": null, "pause_collection": null,
        "payment_settings": {
            "payment_method_options": null, "payment_method_types": null, "save_default_payment_method": "off",
        },
        "pending_invoice_item_interval": null, "pending_setup_intent": null, "pending_update": null, "schedule": null,
        "start_date": call.now, "status": "incomplete", "test_clock": null, "transfer_data": null, "trial_end": null,
        "trial_settings": { "end_behavior": { "missing_payment_method": "create_invoice" } }, "trial_start": null,
    });
    subscription_items::put(&mut subscription, items);
    subscription
}

/// The second at which a trial ends; `None` without one.
fn trial_end(call: &Call, params: Params) -> Result<Option<i64>> {
    let days = super::money::positive(params, "trial_period_days")?;
    match (params.text("trial_end")?, days) {
        (Some(_), Some(_)) => {
            let message = "You may only specify one of these parameters: trial_end, trial_period_days.";
            Err(ApiError::invalid(None, message, "trial_end"))
        }
        (Some("now"), None) | (None, None) => Ok(None),
        (None, Some(days)) => Ok(Some(call.now + days * DAY_SECONDS)),
        (Some(_), None) => {
            let at = params.integer("trial_end")?;
            if at.is_some_and(|at| at <= call.now) {
                let message = "The trial end must be in the future.";
                return Err(ApiError::invalid(None, message, "trial_end"));
            }
            Ok(at)
        }
    }
}

/// What is set in the same way at the start and later.
fn apply(call: &Call, subscription: &mut Value, params: Params) -> Result<()> {
    if let Some(method) = params.nullable("default_payment_method")? {
        subscription["default_payment_method"] = match method {
            None => Value::Null,
            Some(id) => {
                invoices::owned_method(call, id, &subscription["customer"], "default_payment_method")?["id"]
                    .clone()
            }
        };
    }
    if let Some(entries) = params.entries("trial_settings")? {
        let settings = Params::at(entries, "trial_settings");
        settings.allow(&["end_behavior"], &[])?;
        let inner = settings
            .entries("end_behavior")?
            .ok_or_else(|| ApiError::missing("trial_settings[end_behavior]"))?;
        let inner = Params::at(inner, "trial_settings[end_behavior]");
        inner.allow(&["missing_payment_method"], &[])?;
        inner.required("missing_payment_method")?;
        let behavior = inner.one_of("missing_payment_method", &["cancel", "create_invoice", "pause"])?;
        subscription["trial_settings"]["end_behavior"]["missing_payment_method"] = behavior.into();
    }
    if let Some(at_end) = params.boolean("cancel_at_period_end")? {
        subscription["cancel_at_period_end"] = at_end.into();
        let (_, end) = subscription_items::period(subscription);
        // The period of a new one is not known yet; its start sets it.
        subscription["cancel_at"] = if at_end && end > 0 { end.into() } else { Value::Null };
        plan_end(call, subscription, at_end);
    }
    if let Some(at) = params.nullable("cancel_at")? {
        let at = at.and(params.integer("cancel_at")?);
        subscription["cancel_at"] = at.into();
        plan_end(call, subscription, at.is_some());
    }
    fields::set_texts(subscription, params, &["description"])?;
    fields::set_metadata(subscription, params)
}

fn plan_end(call: &Call, subscription: &mut Value, planned: bool) {
    subscription["canceled_at"] = if planned { call.now.into() } else { Value::Null };
    let reason = if planned { json!("cancellation_requested") } else { Value::Null };
    subscription["cancellation_details"]["reason"] = reason;
}

pub fn update(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(
        &[
            "cancel_at",
            "cancel_at_period_end",
            "cancellation_details",
            "default_payment_method",
            "description",
            "items",
            "metadata",
            "pause_collection",
            "proration_behavior",
            "trial_end",
            "trial_settings",
        ],
        &[
            &OTHERS[..],
            &["collection_method", "days_until_due", "off_session", "payment_behavior", "proration_date"],
        ]
        .concat(),
    )?;
    let old = find_alive(call, id)?;
    let mut subscription = old.clone();
    apply(call, &mut subscription, params)?;
    cancellation_details(&mut subscription, params)?;
    pause_collection(&mut subscription, params)?;
    let prorated = params.one_of("proration_behavior", &["always_invoice", "create_prorations", "none"])?
        != Some("none");
    if prorated && params.has("items") && old["status"] != "trialing" {
        return Err(ApiError::not_simulated("items with a proration_behavior other than none"));
    }
    subscription_items::change(call, &mut subscription, params)?;
    if params.text("trial_end")? == Some("now") {
        call.update(Kind::Subscription, &old, &subscription, UPDATED);
        if old["status"] == "trialing" {
            subscription_periods::renew(call, subscription, true);
        }
        return Ok(call.text(Kind::Subscription, id).expect("it was just stored"));
    }
    if let Some(end) = trial_end(call, params)? {
        let (start, _) = subscription_items::period(&subscription);
        subscription["trial_end"] = end.into();
        subscription["billing_cycle_anchor"] = end.into();
        if subscription["trial_start"].is_null() {
            subscription["trial_start"] = call.now.into();
        }
        subscription["status"] = "trialing".into();
        subscription_periods::begin(call, &mut subscription, start);
        subscription_periods::foresee(call, &subscription);
    }
    if subscription["cancel_at"] != old["cancel_at"] && subscription["cancel_at_period_end"] == false {
        subscription_periods::foresee_end(call, &subscription);
    }
    Ok(call.update(Kind::Subscription, &old, &subscription, UPDATED))
}

fn find_alive(call: &Call, id: &str) -> Result<Value> {
    let subscription = call.find(Kind::Subscription, id)?;
    if subscription["ended_at"].is_null() {
        return Ok(subscription);
    }
    let message = "A canceled subscription can only update its cancellation_details and metadata.";
    Err(ApiError::refused(Some("resource_missing"), message, None))
}

fn cancellation_details(subscription: &mut Value, params: Params) -> Result<()> {
    let Some(entries) = params.entries("cancellation_details")? else { return Ok(()) };
    let details = Params::at(entries, "cancellation_details");
    details.allow(&["comment", "feedback"], &[])?;
    fields::set_texts(&mut subscription["cancellation_details"], details, &["comment", "feedback"])
}

fn pause_collection(subscription: &mut Value, params: Params) -> Result<()> {
    let Some(entries) = params.entries("pause_collection")? else { return Ok(()) };
    if entries.is_empty() {
        subscription["pause_collection"] = Value::Null;
        return Ok(());
    }
    let pause = Params::at(entries, "pause_collection");
    pause.allow(&["behavior", "resumes_at"], &[])?;
    pause.required("behavior")?;
    let behavior = pause.one_of("behavior", &["keep_as_draft", "mark_uncollectible", "void"])?;
    subscription["pause_collection"] =
        json!({ "behavior": behavior, "resumes_at": pause.integer("resumes_at")? });
    Ok(())
}

/// `DELETE /v1/subscriptions/:id`: ends it now.
pub fn cancel(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(&["cancellation_details"], &["invoice_now", "prorate"])?;
    let mut subscription = call.find(Kind::Subscription, id)?;
    if !subscription["ended_at"].is_null() {
        return Err(ApiError::no_such("subscription", id, "id", 404));
    }
    cancellation_details(&mut subscription, params)?;
    subscription_periods::end(call, subscription, "cancellation_requested");
    Ok(call.text(Kind::Subscription, id).expect("it was just stored"))
}

/// `POST /v1/subscriptions/:id/resume`: a new period begins; it is active once that is paid.
pub fn resume(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(&[], &["billing_cycle_anchor", "proration_behavior", "proration_date"])?;
    let old = call.find(Kind::Subscription, id)?;
    if old["status"] != "paused" {
        let message = "Only paused subscriptions can be resumed.";
        return Err(ApiError::refused(None, message, None));
    }
    let mut subscription = old.clone();
    subscription["billing_cycle_anchor"] = call.now.into();
    let now = call.now;
    subscription_periods::begin(call, &mut subscription, now);
    let draft = subscription_billing::draft(call, &mut subscription, "subscription_update", false);
    call.update(Kind::Subscription, &old, &subscription, UPDATED);
    subscription_billing::bill_now(call, draft, true);
    Ok(call.text(Kind::Subscription, id).expect("it was just stored"))
}

/// `GET /v1/subscriptions`: those that have not ended, unless `status` asks for others.
pub fn list(call: &Call, params: Params) -> Result<Reply> {
    let mut clauses = pages::clauses(call, params, &FILTERS, &["status"])?;
    let asked = params.one_of("status", &[&STATUSES[..], &["all", "ended"]].concat())?;
    if asked != Some("all") {
        let ended = ["canceled", "incomplete_expired"];
        let wanted = |status: &&str| match asked {
            None => *status != "canceled",
            Some("ended") => ended.contains(status),
            Some(one) => *status == one,
        };
        clauses.push(
            STATUSES.iter().filter(|status| wanted(status)).map(|status| key("status", status)).collect(),
        );
    }
    pages::list_of(call, Kind::Subscription, params, "/v1/subscriptions", clauses)
}

fn key(field: &'static str, value: &str) -> Key {
    (field, value.into())
}

/// A customer's subscriptions that have not ended, as the list inside an expanded customer.
pub fn embedded(call: &Call, customer: &Value) -> Value {
    let id = customer["id"].as_str().unwrap_or_default();
    let alive =
        STATUSES.iter().filter(|status| **status != "canceled").map(|status| key("status", status)).collect();
    let query = Query { clauses: vec![vec![key("customer", id)], alive], limit: 10, ..Query::default() };
    let (items, has_more) = match call.books().table(Kind::Subscription) {
        Some(subscriptions) => subscriptions.page(&query),
        None => (Vec::new(), false),
    };
    let items = items.into_iter().cloned().collect();
    json::parse(&Page { items, has_more, url: format!("/v1/customers/{id}/subscriptions") }.render())
}
