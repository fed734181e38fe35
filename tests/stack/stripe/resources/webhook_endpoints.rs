//! Webhook endpoints (<https://docs.stripe.com/api/webhook_endpoints>).

use std::sync::Arc;

use serde_json::{Value, json};

use super::fields;
use crate::stripe::errors::{ApiError, Result};
use crate::stripe::form::Params;
use crate::stripe::json;
use crate::stripe::kinds::Kind;
use crate::stripe::table::Table;
use crate::stripe::world::{Call, Endpoint, deleted};

/// So many endpoints an account may have (<https://docs.stripe.com/webhooks>).
const ENDPOINTS_MAX: usize = 16;

/// What an endpoint is made from.
pub struct NewEndpoint {
    pub url: String,
    pub secret: Arc<str>,
    pub enabled_events: Vec<String>,
    pub connect: bool,
    pub api_version: Value,
    pub description: Value,
    pub metadata: Value,
}

/// Stores an endpoint; deliveries to it begin with the next event.
pub fn add(call: &mut Call, new: NewEndpoint) -> Value {
    let id = call.new_id("we_1", 23);
    let object = json!({
        "id": &*id, "object": "webhook_endpoint", "api_version": new.api_version, "application": null,
        "created": call.now, "description": new.description, "enabled_events": new.enabled_events, "livemode": false,
        "metadata": new.metadata, "status": "enabled", "url": new.url,
    });
    call.insert(Kind::WebhookEndpoint, &object);
    let endpoint = Endpoint {
        account: call.account.clone(),
        url: new.url.into(),
        secrets: vec![new.secret],
        enabled_events: new.enabled_events,
        connect: new.connect,
        enabled: true,
    };
    call.world.endpoints.insert(id, endpoint);
    object
}

fn check_url(params: Params) -> Result<String> {
    let url = params.required("url")?;
    let valid = url.parse::<http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    });
    if valid {
        return Ok(url.to_owned());
    }
    Err(ApiError::invalid(
        Some("url_invalid"),
        "Invalid URL: An explicit scheme (such as https) must be provided.",
        "url",
    ))
}

fn check_events(params: Params) -> Result<Option<Vec<String>>> {
    let Some(events) = params.texts("enabled_events")? else { return Ok(None) };
    if events.is_empty() {
        let message = "Invalid array: must contain at least one event type";
        return Err(ApiError::invalid(Some("parameter_invalid_empty"), message, "enabled_events"));
    }
    for event in &events {
        let named = event.contains('.')
            && event.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '.' | '_' | '0'..='9'));
        if *event != "*" && !named {
            let message = format!("Invalid enabled_events: {event} is not an event type");
            return Err(ApiError::invalid(None, message, "enabled_events"));
        }
    }
    Ok(Some(events.into_iter().map(str::to_owned).collect()))
}

pub fn create(call: &mut Call, params: Params) -> Result<Arc<str>> {
    params.allow(&["api_version", "connect", "description", "enabled_events", "metadata", "url"], &[])?;
    if call.books().table(Kind::WebhookEndpoint).map_or(0, Table::len) >= ENDPOINTS_MAX {
        let message = format!("You have reached the maximum of {ENDPOINTS_MAX} test webhook endpoints.");
        return Err(ApiError::refused(None, message, None));
    }
    let url = check_url(params)?;
    let enabled_events = check_events(params)?.ok_or_else(|| ApiError::missing("enabled_events"))?;
    let mut described = json!({ "metadata": {} });
    fields::set_metadata(&mut described, params)?;
    let new = NewEndpoint {
        url,
        secret: call.new_id("whsec_", 32),
        enabled_events,
        connect: params.boolean("connect")?.unwrap_or(false),
        api_version: params.text("api_version")?.into(),
        description: params.text("description")?.into(),
        metadata: described["metadata"].clone(),
    };
    let secret = new.secret.clone();
    // The secret is in this answer and in no later one.
    let mut shown = add(call, new);
    shown["secret"] = (*secret).into();
    Ok(json::compact(&shown).into())
}

pub fn update(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(&["description", "disabled", "enabled_events", "metadata", "url"], &[])?;
    let mut object = call.find(Kind::WebhookEndpoint, id)?;
    let url = if params.has("url") { Some(check_url(params)?) } else { None };
    let events = check_events(params)?;
    fields::set_texts(&mut object, params, &["description"])?;
    fields::set_metadata(&mut object, params)?;
    let disabled = params.boolean("disabled")?;
    let endpoint = call.world.endpoints.get_mut(id).expect("every endpoint's object has its endpoint");
    if let Some(url) = url {
        object["url"] = url.as_str().into();
        endpoint.url = url.into();
    }
    if let Some(events) = events {
        object["enabled_events"] = json!(events);
        endpoint.enabled_events = events;
    }
    if let Some(disabled) = disabled {
        object["status"] = if disabled { "disabled" } else { "enabled" }.into();
        endpoint.enabled = !disabled;
    }
    Ok(call.replace(Kind::WebhookEndpoint, &object))
}

pub fn delete(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(&[], &[])?;
    call.find(Kind::WebhookEndpoint, id)?;
    call.remove(Kind::WebhookEndpoint, id);
    call.world.endpoints.remove(id);
    Ok(deleted("webhook_endpoint", id))
}
