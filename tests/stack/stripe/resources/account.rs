//! An account's object, and the platform's own (<https://docs.stripe.com/api/accounts>).

use std::sync::Arc;

use serde_json::{Value, json};

use crate::stripe::errors::{ApiError, Result};
use crate::stripe::json;
use crate::stripe::kinds::Kind;
use crate::stripe::world::{Books, Call};

/// The account that the request is made for.
pub fn own(call: &Call) -> Arc<str> {
    let connected =
        platform_books(call).table(Kind::Account).and_then(|accounts| accounts.get(&call.account));
    connected.cloned().unwrap_or_else(|| platform(call))
}

/// The platform or one of its connected accounts.
pub fn retrieve(call: &Call, id: &str) -> Result<Arc<str>> {
    if id == &*call.world.platform {
        return Ok(platform(call));
    }
    let connected = platform_books(call).table(Kind::Account).and_then(|accounts| accounts.get(id));
    connected.cloned().ok_or_else(|| ApiError::no_such("account", id, "account", 404))
}

fn platform_books<'c>(call: &'c Call) -> &'c Books {
    &call.world.accounts[&call.world.platform]
}

fn platform(call: &Call) -> Arc<str> {
    json::compact(&build(&call.world.platform, "standard", call.world.account_created)).into()
}

/// An account that may be charged and paid.
pub fn build(id: &str, kind: &str, created: i64) -> Value {
    json!({
        "id": id, "object": "account",
        "business_profile": {
            "annual_revenue": null, "estimated_worker_count": null, "mcc": null,
            "minority_owned_business_designation": null, "name": "Recoup test business", "product_description": null,
            "support_address": null, "support_email": null, "support_phone": null, "support_url": null, "url": null,
        },
        "business_type": "company", "capabilities": { "card_payments": "active", "transfers": "active" },
        "charges_enabled": true, "controller": { "type": "account" }, "country": "US",
        "created": created, "default_currency": "usd", "details_submitted": true,
        "email": "owner@example.com",
        "external_accounts": {
            "object": "list", "data": [], "has_more": false, "url": format!("/v1/accounts/{id}/external_accounts"),
        },
        "future_requirements": no_requirements(), "metadata": {}, "payouts_enabled": true,
        "requirements": no_requirements(),
        "settings": {
            "bacs_debit_payments": { "display_name": null, "service_user_number": null },
            "branding": { "icon": null, "logo": null, "primary_color": null, "secondary_color": null },
            "card_issuing": { "tos_acceptance": { "date": null, "ip": null } },
            "card_payments": {
                "decline_on": { "avs_failure": false, "cvc_failure": false }, "statement_descriptor_prefix": null,
                "statement_descriptor_prefix_kana": null, "statement_descriptor_prefix_kanji": null,
            },
            "dashboard": { "display_name": "Recoup test business", "timezone": "Etc/UTC" },
            "invoices": { "default_account_tax_ids": null, "hosted_payment_method_save": null },
            "payments": {
                "statement_descriptor": "RECOUP TEST", "statement_descriptor_kana": null,
                "statement_descriptor_kanji": null, "statement_descriptor_prefix_kana": null,
                "statement_descriptor_prefix_kanji": null,
            },
            "payouts": {
                "debit_negative_balances": true, "schedule": { "delay_days": 2, "interval": "daily" },
                "statement_descriptor": null,
            },
            "sepa_debit_payments": {},
        },
        "tos_acceptance": { "date": null, "ip": null, "user_agent": null }, "type": kind,
    })
}

fn no_requirements() -> Value {
    json!({
        "alternatives": [], "current_deadline": null, "currently_due": [], "disabled_reason": null, "errors": [],
        "eventually_due": [], "past_due": [], "pending_verification": [],
    })
}
