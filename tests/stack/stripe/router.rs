//! Which resource answers which path.

use super::errors::{ApiError, Result};
use super::events;
use super::form::{Form, Params};
use super::kinds::Kind;
use super::pages::{self, Filter, Reply};
use super::resources::{
    account, accounts, balance, balance_transactions, charges, checkout_sessions, customers, disputes,
    invoice_items, invoice_lines, invoice_payments, invoice_steps, invoices, line_items, payment_intents,
    payment_methods, payment_pages, payouts, prices, products, refunds, subscription_items, subscriptions,
    webhook_endpoints,
};
use super::test_helpers;
use super::world::Call;

/// Answers a request; `None` when no such URL exists. `segments` is the path without slashes.
pub fn route(
    call: &mut Call,
    method: &str,
    segments: &[&str],
    entries: &[(String, Form)],
) -> Result<Option<Reply>> {
    let Some(("v1", path)) = segments.split_first().map(|(first, rest)| (*first, rest)) else {
        return Ok(None);
    };
    let params = Params::top(entries);
    if method == "GET" {
        return read(call, path, params);
    }
    let text = match (method, path) {
        ("POST", ["accounts"]) => accounts::create(call, params),
        ("POST", ["accounts", id]) => accounts::update(call, id, params),

        ("POST", ["customers"]) => customers::create(call, params),
        ("POST", ["customers", id]) => customers::update(call, id, params),
        ("DELETE", ["customers", id]) => customers::delete(call, id, params),

        ("POST", ["products"]) => products::create(call, params),
        ("POST", ["products", id]) => products::update(call, id, params),
        ("DELETE", ["products", id]) => products::delete(call, id, params),

        ("POST", ["prices"]) => prices::create(call, params),
        ("POST", ["prices", id]) => prices::update(call, id, params),

        ("POST", ["checkout", "sessions"]) => checkout_sessions::create(call, params),
        ("POST", ["checkout", "sessions", id]) => checkout_sessions::update(call, id, params),
        ("POST", ["checkout", "sessions", id, "expire"]) => checkout_sessions::expire(call, id, params),

        ("POST", ["payment_intents"]) => payment_intents::create(call, params),
        ("POST", ["payment_intents", id]) => payment_intents::update(call, id, params),
        ("POST", ["payment_intents", id, "confirm"]) => payment_intents::confirm(call, id, params),
        ("POST", ["payment_intents", id, "capture"]) => payment_intents::capture(call, id, params),
        ("POST", ["payment_intents", id, "cancel"]) => payment_intents::cancel(call, id, params),

        ("POST", ["payment_methods"]) => payment_methods::create(call, params),
        ("POST", ["payment_methods", id]) => payment_methods::update(call, id, params),
        ("POST", ["payment_methods", id, "attach"]) => payment_methods::attach(call, id, params),
        ("POST", ["payment_methods", id, "detach"]) => payment_methods::detach(call, id, params),

        ("POST", ["payment_pages", session, "confirm"]) => payment_pages::confirm(call, session, params),

        ("POST", ["charges", id]) => charges::update(call, id, params),

        ("POST", ["disputes", id]) => disputes::update(call, id, params),
        ("POST", ["disputes", id, "close"]) => disputes::close(call, id, params),

        ("POST", ["invoiceitems"]) => invoice_items::create(call, params),
        ("POST", ["invoiceitems", id]) => invoice_items::update(call, id, params),
        ("DELETE", ["invoiceitems", id]) => invoice_items::delete(call, id, params),

        ("POST", ["invoices"]) => invoices::create(call, params),
        ("POST", ["invoices", id]) => invoices::update(call, id, params),
        ("DELETE", ["invoices", id]) => invoices::delete(call, id, params),
        ("POST", ["invoices", id, "finalize"]) => invoice_steps::finalize(call, id, params),
        ("POST", ["invoices", id, "mark_uncollectible"]) => {
            invoice_steps::mark_uncollectible(call, id, params)
        }
        ("POST", ["invoices", id, "pay"]) => invoice_steps::pay(call, id, params),
        ("POST", ["invoices", id, "send"]) => invoice_steps::send(call, id, params),
        ("POST", ["invoices", id, "void"]) => invoice_steps::void(call, id, params),

        ("POST", ["payouts"]) => payouts::create(call, params),
        ("POST", ["payouts", id]) => payouts::update(call, id, params),
        ("POST", ["payouts", id, "cancel"]) => payouts::cancel(call, id, params),

        ("POST", ["subscriptions"]) => subscriptions::create(call, params),
        ("POST", ["subscriptions", id]) => subscriptions::update(call, id, params),
        ("POST", ["subscriptions", id, "resume"]) => subscriptions::resume(call, id, params),
        ("DELETE", ["subscriptions", id]) => subscriptions::cancel(call, id, params),

        ("POST", ["refunds"]) => refunds::create(call, params),
        ("POST", ["refunds", id]) => refunds::update(call, id, params),
        ("POST", ["refunds", id, "cancel"]) => refunds::cancel(call, id, params),

        ("POST", ["webhook_endpoints"]) => webhook_endpoints::create(call, params),
        ("POST", ["webhook_endpoints", id]) => webhook_endpoints::update(call, id, params),
        ("DELETE", ["webhook_endpoints", id]) => webhook_endpoints::delete(call, id, params),

        ("POST", ["events", id, "retry"]) => events::retry(call, id, params),
        ("POST", ["test_helpers", action @ ..]) => return test_helpers::act(call, action, params),
        _ => return Ok(None),
    };
    text.map(|text| Some(Reply::Object(text)))
}

fn read(call: &Call, path: &[&str], params: Params) -> Result<Option<Reply>> {
    let object = |kind: Kind, id: &str| {
        params.allow(&[], &[])?;
        let text =
            call.text(kind, id).ok_or_else(|| ApiError::no_such(kind.noun(), id, kind.path_param(), 404))?;
        Ok(Reply::Object(text))
    };
    let list = |kind: Kind, filters: &[Filter]| {
        pages::list(call, kind, params, &format!("/v1/{}", path.join("/")), filters)
    };
    let reply = match path {
        ["account"] => Ok(Reply::Object(account::own(call))),
        ["accounts"] => list(Kind::Account, &[]),
        ["accounts", id] => account::retrieve(call, id).map(Reply::Object),

        ["balance"] => Ok(Reply::Object(balance::retrieve(call))),
        ["balance_transactions"] => balance_transactions::list(call, params),
        ["balance_transactions", id] => object(Kind::BalanceTransaction, id),

        ["charges"] => list(Kind::Charge, &charges::FILTERS),
        ["charges", id] => object(Kind::Charge, id),
        ["charges", id, "refunds"] => of_charge(call, id, params),

        ["checkout", "sessions"] => list(Kind::CheckoutSession, &checkout_sessions::FILTERS),
        ["checkout", "sessions", id] => object(Kind::CheckoutSession, id),
        ["checkout", "sessions", id, "line_items"] => line_items::list(call, id, params),

        ["customers"] => list(Kind::Customer, &customers::FILTERS),
        ["customers", id] => customers::retrieve(call, id).map(Reply::Object),
        ["customers", id, "payment_methods"] => payment_methods::of_customer(call, id, params),

        ["disputes"] => list(Kind::Dispute, &disputes::FILTERS),
        ["disputes", id] => object(Kind::Dispute, id),

        ["events"] => events::list(call, params),
        ["events", id] => events::retrieve(call, id).map(Reply::Object),

        ["invoice_payments"] => list(Kind::InvoicePayment, &invoice_payments::FILTERS),
        ["invoice_payments", id] => object(Kind::InvoicePayment, id),

        ["invoiceitems"] => invoice_items::list(call, params),
        ["invoiceitems", id] => object(Kind::InvoiceItem, id),

        ["invoices"] => list(Kind::Invoice, &invoices::FILTERS),
        ["invoices", id] => object(Kind::Invoice, id),
        ["invoices", id, "lines"] => invoice_lines::list(call, id, params),

        ["payment_intents"] => list(Kind::PaymentIntent, &payment_intents::FILTERS),
        ["payment_intents", id] => object(Kind::PaymentIntent, id),

        ["payment_methods"] => list(Kind::PaymentMethod, &payment_methods::FILTERS),
        ["payment_methods", id] => object(Kind::PaymentMethod, id),

        ["payment_pages", session] => payment_pages::retrieve(call, session).map(Reply::Object),

        ["payouts"] => list(Kind::Payout, &payouts::FILTERS),
        ["payouts", id] => object(Kind::Payout, id),

        ["prices"] => list(Kind::Price, &prices::FILTERS),
        ["prices", id] => object(Kind::Price, id),

        ["products"] => list(Kind::Product, &products::FILTERS),
        ["products", id] => object(Kind::Product, id),

        ["refunds"] => list(Kind::Refund, &refunds::FILTERS),
        ["refunds", id] => object(Kind::Refund, id),

        ["subscription_items"] => subscription_items::list(call, params),
        ["subscription_items", id] => subscription_items::retrieve(call, id).map(Reply::Object),

        ["subscriptions"] => subscriptions::list(call, params),
        ["subscriptions", id] => object(Kind::Subscription, id),

        ["webhook_endpoints"] => list(Kind::WebhookEndpoint, &[]),
        ["webhook_endpoints", id] => object(Kind::WebhookEndpoint, id),
        ["test_helpers", asked @ ..] => return test_helpers::read(call, asked),
        _ => return Ok(None),
    };
    reply.map(Some)
}

/// A charge's refunds, under the older path.
fn of_charge(call: &Call, id: &str, params: Params) -> Result<Reply> {
    pages::allow(params, &["created"])?;
    call.find(Kind::Charge, id)?;
    pages::list_of(
        call,
        Kind::Refund,
        params,
        &format!("/v1/charges/{id}/refunds"),
        vec![vec![("charge", id.into())]],
    )
}
