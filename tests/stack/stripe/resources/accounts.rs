//! Connected accounts (<https://docs.stripe.com/api/accounts>). Their events are told in the account itself.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{account, fields};
use crate::stripe::errors::{ApiError, Result};
use crate::stripe::form::Params;
use crate::stripe::kinds::Kind;
use crate::stripe::world::{Books, Call};

/// What has to be known of a business before it may be paid.
const REQUIRED: [&str; 4] =
    ["business_profile.url", "external_account", "tos_acceptance.date", "tos_acceptance.ip"];

pub fn create(call: &mut Call, params: Params) -> Result<Arc<str>> {
    params.allow(
        &["country", "default_currency", "email", "metadata", "type"],
        &[
            "account_token",
            "business_profile",
            "business_type",
            "capabilities",
            "company",
            "controller",
            "documents",
            "external_account",
            "individual",
            "settings",
            "tos_acceptance",
        ],
    )?;
    let kind = params.one_of("type", &["custom", "express", "standard"])?.unwrap_or("standard");
    let id = call.new_id("acct_1", 15);
    let mut object = account::build(&id, kind, call.now);
    restrict(&mut object, true);
    fields::set_texts(&mut object, params, &["country", "default_currency", "email"])?;
    fields::set_metadata(&mut object, params)?;
    Ok(connect(call, &id, &object))
}

/// Adds an account with books of its own.
fn connect(call: &mut Call, id: &Arc<str>, object: &Value) -> Arc<str> {
    call.world.accounts.insert(id.clone(), Books::default());
    call.insert(Kind::Account, object)
}

/// An account of this id, ready for payments, which is connected if it was not yet. `call` is the platform's.
pub fn ensure(call: &mut Call, id: &str) {
    if !call.world.accounts.contains_key(id) {
        let id: Arc<str> = id.into();
        let object = account::build(&id, "standard", call.now);
        connect(call, &id, &object);
    }
}

pub fn update(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(
        &["default_currency", "email", "metadata"],
        &[
            "account_token",
            "business_profile",
            "business_type",
            "capabilities",
            "company",
            "documents",
            "external_account",
            "individual",
            "settings",
            "tos_acceptance",
        ],
    )?;
    let old = call.find(Kind::Account, id)?;
    let mut object = old.clone();
    fields::set_texts(&mut object, params, &["default_currency", "email"])?;
    fields::set_metadata(&mut object, params)?;
    Ok(tell_update(call, &old, &object))
}

fn tell_update(call: &mut Call, old: &Value, new: &Value) -> Arc<str> {
    let Some(previous) = crate::stripe::json::previous_attributes(old, new) else {
        return crate::stripe::json::compact(new).into();
    };
    let text = call.replace(Kind::Account, new);
    let id: Arc<str> = new["id"].as_str().unwrap_or_default().into();
    let origin = call.origin.clone();
    call.world.call(&id, origin).emit("account.updated", text.clone(), Some(&previous));
    text
}

/// Stripe knows enough of the business, or asks for more: a test action.
pub fn verify(call: &mut Call, id: &str, verified: bool) -> Result<Arc<str>> {
    let old = call.get(Kind::Account, id).ok_or_else(|| ApiError::no_such("account", id, "account", 404))?;
    let mut object = old.clone();
    restrict(&mut object, !verified);
    Ok(tell_update(call, &old, &object))
}

fn restrict(object: &mut Value, restricted: bool) {
    for name in ["charges_enabled", "details_submitted", "payouts_enabled"] {
        object[name] = (!restricted).into();
    }
    object["capabilities"] = match restricted {
        true => json!({ "card_payments": "inactive", "transfers": "inactive" }),
        false => json!({ "card_payments": "active", "transfers": "active" }),
    };
    let due = if restricted { json!(REQUIRED) } else { json!([]) };
    let requirements = &mut object["requirements"];
    requirements["currently_due"] = due.clone();
    requirements["eventually_due"] = due;
    requirements["disabled_reason"] = if restricted { json!("requirements.past_due") } else { Value::Null };
}
