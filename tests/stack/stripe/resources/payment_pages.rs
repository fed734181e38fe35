//! The page behind a checkout session's `url`, as Stripe's own pages and its CLI use it: with it a script can buy.
//! Stripe does not document it.

use std::sync::Arc;

use serde_json::json;

use super::checkout_buyer::{self, Buyer, Outcome};
use super::money;
use crate::stripe::errors::{ApiError, Result};
use crate::stripe::form::Params;
use crate::stripe::json;
use crate::stripe::kinds::Kind;
use crate::stripe::world::Call;

/// `GET /v1/payment_pages/:session`.
pub fn retrieve(call: &Call, session: &str) -> Result<Arc<str>> {
    let session = call.find(Kind::CheckoutSession, session)?;
    let id = session["id"].as_str().unwrap_or_default();
    let page = json!({
        "id": format!("ppage_1{}", &id[id.len().saturating_sub(23)..]), "object": "payment_page",
        "currency": session["currency"], "customer_email": session["customer_email"], "livemode": false,
        "mode": session["mode"], "payment_method_types": session["payment_method_types"], "session_id": id,
        "status": session["status"], "total": session["amount_total"],
    });
    Ok(json::compact(&page).into())
}

/// `POST /v1/payment_pages/:session/confirm`: the buyer pays with a payment method.
pub fn confirm(call: &mut Call, session: &str, params: Params) -> Result<Arc<str>> {
    params.allow(&["expected_amount", "payment_method"], &["expected_payment_method_type", "return_url"])?;
    let open = call.find(Kind::CheckoutSession, session)?;
    let expected = money::unit_amount(params, "expected_amount")?;
    if expected.is_some_and(|expected| open["amount_total"] != expected) {
        let message = "The amount of the Checkout Session is not the expected one: reload the page.";
        return Err(ApiError::refused(Some("checkout_amount_mismatch"), message, Some("expected_amount")));
    }
    let id = params.required("payment_method")?;
    let method = call.referred(Kind::PaymentMethod, id, "payment_method")?;
    let taken = open["payment_method_types"].as_array().is_some_and(|types| types.contains(&method["type"]));
    if !taken {
        let kind = method["type"].as_str().unwrap_or_default();
        let message = format!("The payment method type `{kind}` is not accepted by this Checkout Session.");
        return Err(ApiError::refused(None, message, Some("payment_method")));
    }
    let billing = &method["billing_details"];
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let buyer = Buyer {
        email: text(&billing["email"]),
        name: text(&billing["name"]),
        country: text(&billing["address"]["country"]),
        payment_method: Some(id.to_owned()),
    };
    checkout_buyer::complete(call, session, Outcome::Paid, &buyer)?;
    retrieve(call, session)
}
