//! How an invoice goes on: finalized, paid, voided, given up (<https://docs.stripe.com/invoicing/overview>), and what
//! it hears of the payment intent that is to pay it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::payment_intents::{self, NewIntent};
use super::payments::{self, Presence};
use super::{invoice_payments, money, payment_methods, subscription_billing};
use crate::stripe::agenda::Due;
use crate::stripe::errors::{ApiError, Result};
use crate::stripe::form::Params;
use crate::stripe::json;
use crate::stripe::kinds::Kind;
use crate::stripe::world::Call;

/// Days until a payment of a subscription that failed is tried again, by how often it was tried.
const TRIED_AGAIN_AFTER_DAYS: [i64; 3] = [3, 5, 7];
const DAY_SECONDS: i64 = 24 * 3600;

/// Stores an invoice's new state and tells of it.
fn tell(call: &mut Call, invoice: &Value, event: &str) -> Arc<str> {
    let text = call.replace(Kind::Invoice, invoice);
    call.emit(event, text.clone(), None);
    text
}

/// `POST /v1/invoices/:id/finalize`.
pub fn finalize(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(&["auto_advance"], &[])?;
    let mut invoice = call.find(Kind::Invoice, id)?;
    if invoice["status"] != "draft" {
        let message = "This invoice is already finalized, you can't re-finalize a non-draft invoice.";
        return Err(ApiError::refused(Some("invoice_not_editable"), message, None));
    }
    if let Some(advance) = params.boolean("auto_advance")? {
        invoice["auto_advance"] = advance.into();
    }
    let invoice = open(call, invoice)?;
    Ok(json::compact(&invoice).into())
}

/// Finalizes a draft: it gets its number and the payment intent that is to pay it. One of nothing is paid with that.
pub fn open(call: &mut Call, mut invoice: Value) -> Result<Value> {
    let due = invoice["amount_due"].as_i64().unwrap_or_default();
    let currency = invoice["currency"].as_str().unwrap_or_default().to_owned();
    if due > 0 {
        money::check_chargeable(due, &currency, "amount_due")?;
    }
    let id = invoice["id"].as_str().unwrap_or_default().to_owned();
    let mut customer = call.linked(Kind::Customer, &invoice["customer"]);
    let number = customer["next_invoice_sequence"].as_i64().unwrap_or(1);
    invoice["number"] =
        format!("{}-{number:04}", customer["invoice_prefix"].as_str().unwrap_or_default()).into();
    customer["next_invoice_sequence"] = (number + 1).into();
    call.replace(Kind::Customer, &customer);
    invoice["status"] = "open".into();
    invoice["status_transitions"]["finalized_at"] = call.now.into();
    invoice["effective_at"] = call.now.into();
    invoice["ending_balance"] = 0.into();
    invoice["automatically_finalizes_at"] = Value::Null;
    invoice["next_payment_attempt"] = Value::Null;
    let page = format!("https://invoice.stripe.com/i/{}/test_{id}", call.account);
    invoice["invoice_pdf"] = format!("{page}/pdf").into();
    invoice["hosted_invoice_url"] = page.into();
    if due > 0 {
        let new = NewIntent {
            amount: due,
            currency,
            customer: invoice["customer"].clone(),
            payment_method_types: json!(["card", "us_bank_account", "sepa_debit"]),
        };
        let mut intent = payment_intents::build(call, &new);
        intent["description"] = match invoice["billing_reason"].as_str() {
            Some("subscription_create") => "Subscription creation".into(),
            Some("manual") => "Payment for Invoice".into(),
            _ => "Subscription update".into(),
        };
        let text = call.insert(Kind::PaymentIntent, &intent);
        call.emit("payment_intent.created", text, None);
        invoice_payments::create(call, &invoice, &intent);
    }
    tell(call, &invoice, "invoice.finalized");
    if due == 0 {
        invoice = settle(call, invoice, true);
    }
    Ok(invoice)
}

/// It is paid; `collected` where Stripe had to do with it.
fn settle(call: &mut Call, mut invoice: Value, collected: bool) -> Value {
    invoice["status"] = "paid".into();
    invoice["amount_paid"] = invoice["amount_due"].clone();
    invoice["amount_remaining"] = 0.into();
    invoice["attempted"] = true.into();
    invoice["auto_advance"] = false.into();
    invoice["next_payment_attempt"] = Value::Null;
    invoice["status_transitions"]["paid_at"] = call.now.into();
    tell(call, &invoice, "invoice.paid");
    if collected {
        let text: Arc<str> = json::compact(&invoice).into();
        call.emit("invoice.payment_succeeded", text, None);
    }
    subscription_billing::hear_of_paid(call, &invoice);
    invoice
}

/// `POST /v1/invoices/:id/pay`. A draft is finalized first.
pub fn pay(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params
        .allow(&["paid_out_of_band", "payment_method"], &["forgive", "mandate", "off_session", "source"])?;
    let mut invoice = call.find(Kind::Invoice, id)?;
    if invoice["status"] == "draft" {
        invoice = open(call, invoice)?;
        if invoice["status"] == "paid" {
            return Ok(json::compact(&invoice).into());
        }
    }
    check_unpaid(&invoice, "pay")?;
    if params.boolean("paid_out_of_band")? == Some(true) {
        cancel_payment(call, &invoice)?;
        return Ok(json::compact(&settle(call, invoice, false)).into());
    }
    let method = match params.text("payment_method")? {
        Some(id) => payment_methods::resolve(call, id, "payment_method", None)?,
        None => method_of(call, &invoice).ok_or_else(no_method)?,
    };
    let intent = collect(call, &invoice, &method)?;
    if intent["status"] == "requires_action" {
        let code = "invoice_payment_intent_requires_action";
        let message = "Payment for this invoice requires additional user action before it can be completed successfully. \
                       Payment can be completed using the PaymentIntent associated with the invoice.";
        return Err(ApiError::requires_action(code, message).with("payment_intent", intent));
    }
    Ok(json::compact(&call.find(Kind::Invoice, id)?).into())
}

fn check_unpaid(invoice: &Value, step: &str) -> Result<()> {
    if invoice["status"] == "open" || invoice["status"] == "uncollectible" {
        return Ok(());
    }
    let status = invoice["status"].as_str().unwrap_or_default();
    let code = if status == "paid" { Some("invoice_already_paid") } else { None };
    Err(ApiError::refused(code, format!("You can't {step} an invoice with a status of {status}."), None))
}

/// Has the invoice's payment intent paid by a method. What comes of it, the invoice hears below.
pub fn collect(call: &mut Call, invoice: &Value, method: &Value) -> Result<Value> {
    let payment = invoice_payments::open_of_invoice(call, invoice).ok_or_else(|| {
        ApiError::refused(None, "The payment of this invoice was canceled or is not there.", None)
    })?;
    let intent = call.linked(Kind::PaymentIntent, &payment["payment"]["payment_intent"]);
    if intent["status"] == "processing" {
        return Err(payments::unexpected(&intent, "pay an invoice with", "requires_payment_method"));
    }
    payments::pay(call, &intent, method, Presence::OnSession)
}

/// Stripe's order of whose default pays: the invoice's, the subscription's, the customer's.
pub fn method_of(call: &Call, invoice: &Value) -> Option<Value> {
    let subscription = subscription_billing::of_invoice(call, invoice).unwrap_or_default();
    let customer = call.linked(Kind::Customer, &invoice["customer"]);
    [
        &invoice["default_payment_method"],
        &subscription["default_payment_method"],
        &customer["invoice_settings"]["default_payment_method"],
    ]
    .iter()
    .find_map(|method| call.get(Kind::PaymentMethod, method.as_str()?))
}

/// The refusal of a payment without a method.
pub fn no_method() -> ApiError {
    let message = "This customer has no attached payment source or default payment method. Please consider adding a default \
                   payment method. For more information, visit \
                   https://stripe.com/docs/billing/subscriptions/payment-methods-setting#payment-method-priority.";
    ApiError::refused(Some("resource_missing"), message, None)
}

fn cancel_payment(call: &mut Call, invoice: &Value) -> Result<()> {
    if let Some(payment) = invoice_payments::open_of_invoice(call, invoice) {
        invoice_payments::cancel(call, &payment);
        let intent = call.linked(Kind::PaymentIntent, &payment["payment"]["payment_intent"]);
        payments::cancel(call, &intent, Some("void_invoice"))?;
    }
    Ok(())
}

/// `POST /v1/invoices/:id/void`.
pub fn void(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(&[], &[])?;
    let invoice = call.find(Kind::Invoice, id)?;
    check_unpaid(&invoice, "void")?;
    void_unpaid(call, invoice)
}

/// Voids an invoice that is open or given up.
pub fn void_unpaid(call: &mut Call, mut invoice: Value) -> Result<Arc<str>> {
    cancel_payment(call, &invoice)?;
    invoice["status"] = "void".into();
    invoice["auto_advance"] = false.into();
    invoice["next_payment_attempt"] = Value::Null;
    invoice["status_transitions"]["voided_at"] = call.now.into();
    Ok(tell(call, &invoice, "invoice.voided"))
}

/// `POST /v1/invoices/:id/mark_uncollectible`.
pub fn mark_uncollectible(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(&[], &[])?;
    let invoice = call.find(Kind::Invoice, id)?;
    if invoice["status"] != "open" {
        let message = "You can only mark open invoices as uncollectible.";
        return Err(ApiError::refused(None, message, None));
    }
    Ok(give_up(call, invoice))
}

fn give_up(call: &mut Call, mut invoice: Value) -> Arc<str> {
    invoice["status"] = "uncollectible".into();
    invoice["auto_advance"] = false.into();
    invoice["next_payment_attempt"] = Value::Null;
    invoice["status_transitions"]["marked_uncollectible_at"] = call.now.into();
    tell(call, &invoice, "invoice.marked_uncollectible")
}

/// `POST /v1/invoices/:id/send`. A draft is finalized first.
pub fn send(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(&[], &[])?;
    let mut invoice = call.find(Kind::Invoice, id)?;
    if invoice["collection_method"] != "send_invoice" {
        let message = "You can only manually send an invoice if its collection method is 'send_invoice'.";
        return Err(ApiError::refused(None, message, None));
    }
    if invoice["status"] == "draft" {
        invoice = open(call, invoice)?;
    }
    let text: Arc<str> = json::compact(&invoice).into();
    call.emit("invoice.sent", text.clone(), None);
    Ok(text)
}

/// The draft's hour is over.
pub fn finalize_by_itself(call: &mut Call, id: &str) {
    let draft = call.get(Kind::Invoice, id);
    let Some(draft) = draft.filter(|draft| draft["status"] == "draft" && draft["auto_advance"] == true)
    else {
        return;
    };
    let behavior = subscription_billing::of_invoice(call, &draft)
        .and_then(|subscription| subscription["pause_collection"]["behavior"].as_str().map(str::to_owned));
    let opened = match open(call, draft.clone()) {
        Ok(opened) => opened,
        Err(error) => {
            let mut failed = draft;
            failed["last_finalization_error"] = error.fields();
            failed["auto_advance"] = false.into();
            tell(call, &failed, "invoice.finalization_failed");
            return;
        }
    };
    match behavior.as_deref() {
        _ if opened["status"] != "open" => {}
        Some("mark_uncollectible") => drop(give_up(call, opened)),
        Some("void") => drop(void_unpaid(call, opened)),
        _ if opened["collection_method"] == "charge_automatically" => try_to_collect(call, &opened),
        _ => {}
    }
}

/// Tries to collect by whatever default there is.
pub fn try_to_collect(call: &mut Call, invoice: &Value) {
    match method_of(call, invoice) {
        // Declines have been told of.
        Some(method) => drop(collect(call, invoice, &method)),
        None => fail(call, invoice.clone()),
    }
}

/// A payment that failed is tried once more.
pub fn try_again(call: &mut Call, id: &str) {
    let invoice = call.get(Kind::Invoice, id);
    let waits = |invoice: &Value| invoice["status"] == "open" && invoice["next_payment_attempt"] == call.now;
    if let Some(invoice) = invoice.filter(waits) {
        try_to_collect(call, &invoice);
    }
}

fn invoice_of(call: &Call, intent: &Value) -> Option<(Value, Value)> {
    let payment = invoice_payments::open_of_intent(call, intent)?;
    let invoice = call.linked(Kind::Invoice, &payment["invoice"]);
    Some((payment, invoice))
}

fn count_attempt(invoice: &mut Value) {
    invoice["attempt_count"] = (invoice["attempt_count"].as_i64().unwrap_or_default() + 1).into();
    invoice["attempted"] = true.into();
}

/// A payment intent succeeded: the invoice that it is for, if any, is paid.
pub fn hear_of_payment(call: &mut Call, intent: &Value) {
    if let Some((payment, mut invoice)) = invoice_of(call, intent) {
        count_attempt(&mut invoice);
        invoice_payments::mark_paid(call, &payment);
        settle(call, invoice, true);
    }
}

/// A payment intent failed.
pub fn hear_of_failure(call: &mut Call, intent: &Value) {
    if let Some((_, invoice)) = invoice_of(call, intent) {
        fail(call, invoice);
    }
}

fn fail(call: &mut Call, mut invoice: Value) {
    count_attempt(&mut invoice);
    let tried = invoice["attempt_count"].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or(1);
    // First invoices are the buyer's to pay; later ones Stripe tries again.
    let again = invoice["auto_advance"] == true && invoice["billing_reason"] == "subscription_cycle";
    let days = TRIED_AGAIN_AFTER_DAYS.get(tried - 1).filter(|_| again);
    let at = days.map(|days| call.now + days * DAY_SECONDS);
    invoice["next_payment_attempt"] = at.into();
    if let Some(at) = at {
        let id = invoice["id"].as_str().unwrap_or_default().into();
        call.books_mut().agenda.note(at, Due::InvoiceIsTried(id));
    }
    tell(call, &invoice, "invoice.payment_failed");
    subscription_billing::hear_of_unpaid(call, &invoice);
}

/// A payment intent waits for its buyer.
pub fn hear_of_action(call: &mut Call, intent: &Value) {
    if let Some((_, mut invoice)) = invoice_of(call, intent) {
        count_attempt(&mut invoice);
        tell(call, &invoice, "invoice.payment_action_required");
    }
}
