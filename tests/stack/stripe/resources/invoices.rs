//! Invoices, as a seller makes and changes them (<https://docs.stripe.com/api/invoices>). How one goes on from a
//! draft is in `invoice_steps`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{fields, invoice_items, invoice_lines, money};
use crate::stripe::agenda::Due;
use crate::stripe::errors::{ApiError, Result};
use crate::stripe::form::Params;
use crate::stripe::kinds::Kind;
use crate::stripe::pages::{Filter, Sort};
use crate::stripe::world::{Call, deleted};

pub const FILTERS: [Filter; 4] = [
    Filter::new("collection_method", Sort::Text),
    Filter::new("customer", Sort::Id(Kind::Customer)),
    Filter::new("status", Sort::Text),
    Filter {
        param: "subscription",
        field: "parent.subscription_details.subscription",
        sort: Sort::Id(Kind::Subscription),
    },
];

const OTHERS: [&str; 17] = [
    "account_tax_ids",
    "application_fee_amount",
    "automatic_tax",
    "automatically_finalizes_at",
    "custom_fields",
    "customer_account",
    "default_source",
    "default_tax_rates",
    "discounts",
    "due_date",
    "effective_at",
    "from_invoice",
    "issuer",
    "number",
    "payment_settings",
    "rendering",
    "subscription",
];

const DAY_SECONDS: i64 = 24 * 3600;

/// A draft is left alone for an hour before it is finalized by itself.
const DRAFT_SECONDS: i64 = 3600;

pub const COLLECTION: [&str; 2] = ["charge_automatically", "send_invoice"];

/// What an invoice is made from.
pub struct NewInvoice<'n> {
    pub customer: &'n Value,
    pub currency: &'n str,
    /// Why there is one: `manual`, `subscription_create`, ….
    pub reason: &'static str,
    pub collection_method: &'n str,
    pub days_until_due: Option<i64>,
    pub subscription: Option<&'n Value>,
    pub auto_advance: bool,
}

/// A draft's object without lines, not yet stored.
pub fn build(call: &mut Call, new: &NewInvoice) -> Value {
    let id = call.new_id("in_1", 23);
    let parent = new.subscription.map(|subscription| {
        json!({
            "quote_details": null,
            "subscription_details": { "metadata": subscription["metadata"], "subscription": subscription["id"] },
            "type": "subscription_details",
        })
    });
    let customer = new.customer;
    let finalizes_at = new.auto_advance.then_some(call.now + DRAFT_SECONDS);
    let due_date = new.days_until_due.map(|days| call.now + days * DAY_SECONDS);
    json!({
        "id": &*id, "object": "invoice", "account_country": "US", "account_name": "Recoup test business",
        "account_tax_ids": null, "amount_due": 0, "amount_overpaid": 0, "amount_paid": 0, "amount_remaining": 0,
        "amount_shipping": 0, "application": null, "attempt_count": 0, "attempted": false,
        "auto_advance": new.auto_advance,
        "automatic_tax": { "disabled_reason": null, "enabled": false, "liability": null, "provider": null, "status": null },
        "automatically_finalizes_at": finalizes_at, "billing_reason": new.reason,
        "collection_method": new.collection_method, "created": call.now, "currency": new.currency,
        "custom_fields": null, "customer": customer["id"], "customer_account": null,
        "customer_address": customer["address"], "customer_email": customer["email"],
        "customer_name": customer["name"], "customer_phone": customer["phone"],
        "customer_shipping": customer["shipping"], "customer_tax_exempt": "none", "customer_tax_ids": [],
        "default_payment_method": null, "default_source": null, "default_tax_rates": [], "description": null,
        "discounts": [], "due_date": due_date, "effective_at": null, "ending_balance": null, "footer": null,
        "from_invoice": null, "hosted_invoice_url": null, "invoice_pdf": null, "issuer": { "type": "self" },
        "last_finalization_error": null, "latest_revision": null, "lines": null, "livemode": false, "metadata": {},
        "next_payment_attempt": finalizes_at, "number": null, "on_behalf_of": null, "parent": parent,
        "payment_settings": { "default_mandate": null, "payment_method_options": null, "payment_method_types": null },
        "period_end": call.now, "period_start": call.now, "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0, "receipt_number": null, "rendering": null, "shipping_cost": null,
        "shipping_details": null, "starting_balance": 0, "statement_descriptor": null, "status": "draft",
        "status_transitions": {
            "finalized_at": null, "marked_uncollectible_at": null, "paid_at": null, "voided_at": null,
        },
        "subtotal": 0, "subtotal_excluding_tax": 0, "test_clock": null, "total": 0, "total_discount_amounts": [],
        "total_excluding_tax": 0, "total_pretax_credit_amounts": [], "total_taxes": [], "webhooks_delivered_at": null,
    })
}

/// Stores a draft with its lines and tells of it.
pub fn store(call: &mut Call, invoice: &mut Value, lines: Vec<Value>) -> Arc<str> {
    invoice_lines::put(call, invoice, lines);
    let text = call.insert(Kind::Invoice, invoice);
    call.emit("invoice.created", text.clone(), None);
    if let Some(at) = invoice["automatically_finalizes_at"].as_i64() {
        let id = invoice["id"].as_str().unwrap_or_default().into();
        call.books_mut().agenda.note(at, Due::InvoiceFinalizes(id));
    }
    text
}

pub fn create(call: &mut Call, params: Params) -> Result<Arc<str>> {
    params.allow(
        &[
            "auto_advance",
            "collection_method",
            "currency",
            "customer",
            "days_until_due",
            "default_payment_method",
            "description",
            "footer",
            "metadata",
            "pending_invoice_items_behavior",
            "statement_descriptor",
        ],
        &OTHERS,
    )?;
    let customer = call.referred(Kind::Customer, params.required("customer")?, "customer")?;
    let collection_method = params.one_of("collection_method", &COLLECTION)?.unwrap_or(COLLECTION[0]);
    let days_until_due = days_until_due(params, collection_method)?;
    let behavior = params.one_of("pending_invoice_items_behavior", &["exclude", "include"])?;
    let given = if params.has("currency") { Some(money::currency(params)?) } else { None };
    let mut items = match behavior {
        Some("include") => {
            invoice_items::pending(call, customer["id"].as_str().unwrap_or_default(), given.as_deref())
        }
        _ => Vec::new(),
    };
    let first = items.first().and_then(|item| item["currency"].as_str()).map(str::to_owned);
    let currency = given.or(first).unwrap_or_else(|| "usd".to_owned());
    // An invoice has one currency; the others wait for theirs.
    items.retain(|item| item["currency"] == *currency);
    let new = NewInvoice {
        customer: &customer,
        currency: &currency,
        reason: "manual",
        collection_method,
        days_until_due,
        subscription: None,
        auto_advance: params.boolean("auto_advance")?.unwrap_or(false),
    };
    let mut invoice = build(call, &new);
    apply(call, &mut invoice, params)?;
    let lines = items.iter().map(|item| invoice_lines::of_item(call, item)).collect();
    invoice_items::assign(call, &items, &invoice);
    Ok(store(call, &mut invoice, lines))
}

/// How many days a buyer has to pay an invoice that is sent.
pub fn days_until_due(params: Params, collection_method: &str) -> Result<Option<i64>> {
    let days = money::unit_amount(params, "days_until_due")?;
    match (collection_method, days) {
        ("send_invoice", None) => {
            let message = "If collection_method is set to `send_invoice`, `days_until_due` is required.";
            Err(ApiError::refused(None, message, Some("days_until_due")))
        }
        ("charge_automatically", Some(_)) => {
            let message = "You can only set `days_until_due` if the collection_method is `send_invoice`.";
            Err(ApiError::refused(None, message, Some("days_until_due")))
        }
        (_, days) => Ok(days),
    }
}

fn apply(call: &Call, invoice: &mut Value, params: Params) -> Result<()> {
    if let Some(method) = params.nullable("default_payment_method")? {
        invoice["default_payment_method"] = match method {
            None => Value::Null,
            Some(id) => owned_method(call, id, &invoice["customer"], "default_payment_method")?["id"].clone(),
        };
    }
    fields::set_texts(invoice, params, &["description", "footer", "statement_descriptor"])?;
    fields::set_metadata(invoice, params)
}

/// A payment method that belongs to a customer.
pub fn owned_method(call: &Call, id: &str, customer: &Value, param: &str) -> Result<Value> {
    let method = call.get(Kind::PaymentMethod, id).filter(|method| method["customer"] == *customer);
    method.ok_or_else(|| {
        let message = format!(
            "The customer does not have a payment method with the ID {id}. The payment method must be attached to the \
             customer."
        );
        ApiError::refused(Some("resource_missing"), message, Some(param))
    })
}

/// Refuses what only a draft allows.
pub fn check_draft(invoice: &Value, step: &str) -> Result<()> {
    if invoice["status"] == "draft" {
        return Ok(());
    }
    let message = format!("This invoice is no longer editable: you can only {step} a draft.");
    Err(ApiError::refused(Some("invoice_not_editable"), message, None))
}

pub fn update(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(
        &[
            "auto_advance",
            "default_payment_method",
            "description",
            "footer",
            "metadata",
            "statement_descriptor",
        ],
        &[&OTHERS[..], &["collection_method", "days_until_due"]].concat(),
    )?;
    let old = call.find(Kind::Invoice, id)?;
    let mut invoice = old.clone();
    for fixed in ["description", "footer", "statement_descriptor"] {
        if params.has(fixed) {
            check_draft(&old, &format!("change the {fixed} of"))?;
        }
    }
    apply(call, &mut invoice, params)?;
    if let Some(advance) = params.boolean("auto_advance")? {
        invoice["auto_advance"] = advance.into();
        if old["status"] == "draft" && old["auto_advance"] != advance {
            let at = advance.then_some(call.now + DRAFT_SECONDS);
            invoice["automatically_finalizes_at"] = at.into();
            invoice["next_payment_attempt"] = at.into();
            if let Some(at) = at {
                call.books_mut().agenda.note(at, Due::InvoiceFinalizes(id.into()));
            }
        }
    }
    Ok(call.update(Kind::Invoice, &old, &invoice, "invoice.updated"))
}

/// A draft follows its items when they change.
pub fn follow_items(call: &mut Call, old: &Value) {
    let id = old["id"].as_str().unwrap_or_default();
    let mut items = call.all_where(Kind::InvoiceItem, "invoice", id);
    items.reverse();
    let kept = call.books().invoice_lines.get(id).cloned().unwrap_or_default();
    let of_subscription = |line: &Value| line["parent"]["type"] == "subscription_item_details";
    let mut lines: Vec<Value> = kept.iter().filter(|line| of_subscription(line)).cloned().collect();
    for item in &items {
        let of_item = |line: &&Value| line["parent"]["invoice_item_details"]["invoice_item"] == item["id"];
        let mut line = invoice_lines::of_item(call, item);
        if let Some(known) = kept.iter().find(of_item) {
            line["id"] = known["id"].clone();
        }
        lines.push(line);
    }
    let mut invoice = old.clone();
    invoice_lines::put(call, &mut invoice, lines);
    call.update(Kind::Invoice, old, &invoice, "invoice.updated");
}

pub fn delete(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(&[], &[])?;
    let invoice = call.find(Kind::Invoice, id)?;
    if invoice["status"] != "draft" || !invoice["parent"].is_null() {
        let message = "You can only delete draft invoices that no subscription made. Void it instead.";
        return Err(ApiError::refused(None, message, None));
    }
    let text = call.remove(Kind::Invoice, id).expect("it was just found");
    call.books_mut().invoice_lines.remove(id);
    invoice_items::release(call, id);
    call.emit("invoice.deleted", text, None);
    Ok(deleted("invoice", id))
}
