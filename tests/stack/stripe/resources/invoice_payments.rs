//! Invoice payments: what links an invoice with the payment intent that pays it
//! (<https://docs.stripe.com/api/invoice-payment>).

use serde_json::{Value, json};

use crate::stripe::json;
use crate::stripe::kinds::Kind;
use crate::stripe::pages::{Filter, Page, Sort};
use crate::stripe::table::Query;
use crate::stripe::world::Call;

pub const FILTERS: [Filter; 4] = [
    Filter::new("invoice", Sort::Id(Kind::Invoice)),
    Filter::new("payment.payment_intent", Sort::Id(Kind::PaymentIntent)),
    Filter::new("payment.type", Sort::Text),
    Filter::new("status", Sort::Text),
];

/// Asks a payment intent for what an invoice is due. Stripe tells only of its being paid.
pub fn create(call: &mut Call, invoice: &Value, intent: &Value) {
    let id = call.new_id("inpay_1", 23);
    let payment = json!({
        "id": &*id, "object": "invoice_payment", "amount_paid": null, "amount_requested": invoice["amount_due"],
        "created": call.now, "currency": invoice["currency"], "invoice": invoice["id"], "is_default": true,
        "livemode": false, "payment": { "payment_intent": intent["id"], "type": "payment_intent" }, "status": "open",
        "status_transitions": { "canceled_at": null, "paid_at": null },
    });
    call.insert(Kind::InvoicePayment, &payment);
}

/// The open payment that a payment intent is to make.
pub fn open_of_intent(call: &Call, intent: &Value) -> Option<Value> {
    let id = intent["id"].as_str()?;
    let found = call.all_where(Kind::InvoicePayment, "payment.payment_intent", id);
    found.into_iter().find(|payment| payment["status"] == "open")
}

/// The payment that an invoice waits for.
pub fn open_of_invoice(call: &Call, invoice: &Value) -> Option<Value> {
    let id = invoice["id"].as_str()?;
    let found = call.all_where(Kind::InvoicePayment, "invoice", id);
    found.into_iter().find(|payment| payment["status"] == "open")
}

pub fn mark_paid(call: &mut Call, payment: &Value) {
    let mut payment = payment.clone();
    payment["amount_paid"] = payment["amount_requested"].clone();
    payment["status"] = "paid".into();
    payment["status_transitions"]["paid_at"] = call.now.into();
    let text = call.replace(Kind::InvoicePayment, &payment);
    call.emit("invoice_payment.paid", text, None);
}

pub fn cancel(call: &mut Call, payment: &Value) {
    let mut payment = payment.clone();
    payment["status"] = "canceled".into();
    payment["status_transitions"]["canceled_at"] = call.now.into();
    call.replace(Kind::InvoicePayment, &payment);
}

/// The payments of an invoice as the list inside an expanded one.
pub fn embedded(call: &Call, invoice: &Value) -> Value {
    let id = invoice["id"].as_str().unwrap_or_default();
    let query = Query { clauses: vec![vec![("invoice", id.into())]], limit: 10, ..Query::default() };
    let (items, has_more) = match call.books().table(Kind::InvoicePayment) {
        Some(payments) => payments.page(&query),
        None => (Vec::new(), false),
    };
    let items = items.into_iter().cloned().collect();
    json::parse(&Page { items, has_more, url: format!("/v1/invoice_payments?invoice={id}") }.render())
}
