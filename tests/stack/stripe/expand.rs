//! `expand[]`: ids replaced by their objects (<https://docs.stripe.com/api/expanding_objects>).

use serde_json::{Value, json};

use super::errors::{ApiError, Result};
use super::json;
use super::kinds::Kind;
use super::resources::{charges, invoice_payments, line_items, subscriptions};
use super::world::Call;

const DEPTH_MAX: usize = 4;

/// Expands one path, e.g. `data.price.product`, in place.
pub fn expand(call: &Call, value: &mut Value, path: &str) -> Result<()> {
    let names: Vec<&str> = path.split('.').collect();
    if names.len() > DEPTH_MAX {
        let message = format!("You cannot expand more than {DEPTH_MAX} levels of a property: {path}");
        return Err(ApiError::invalid(None, message, "expand"));
    }
    if value["object"] == "list" && names[0] != "data" {
        let message = format!(
            "This property cannot be expanded ({}). You may want to try expanding 'data.{}' instead.",
            names[0], names[0]
        );
        return Err(ApiError::invalid(None, message, "expand"));
    }
    walk(call, value, &names)
}

fn walk(call: &Call, value: &mut Value, names: &[&str]) -> Result<()> {
    let object = value["object"].as_str().unwrap_or_default().to_owned();
    walk_inside(call, value, (&object, ""), names)
}

/// Goes on inside an API object: `within` is its type and the dotted path from it to `value`.
fn walk_inside(call: &Call, value: &mut Value, within: (&str, &str), names: &[&str]) -> Result<()> {
    let (object, prefix) = within;
    let Some((name, rest)) = names.split_first() else { return Ok(()) };
    if object == "list" && *name == "data" {
        let items = value["data"].as_array_mut().expect("a list has data");
        return items.iter_mut().try_for_each(|item| walk(call, item, rest));
    }
    let path = if prefix.is_empty() { (*name).to_owned() } else { format!("{prefix}.{name}") };
    let refuse =
        || Err(ApiError::invalid(None, format!("This property cannot be expanded ({path})."), "expand"));
    match (object, path.as_str()) {
        ("event", _) => return refuse(),
        // Lists that are in the object only where they were asked for.
        ("checkout.session", "line_items") => {
            include(value, name, |session| line_items::embedded(call, session));
        }
        ("charge", "refunds") => include(value, name, |charge| charges::embedded_refunds(call, charge)),
        ("customer", "subscriptions") => {
            include(value, name, |customer| subscriptions::embedded(call, customer));
        }
        ("invoice", "payments") => include(value, name, |invoice| invoice_payments::embedded(call, invoice)),
        _ => {
            let fields = expandable(object);
            let linked = fields.iter().find(|(field, _)| *field == path);
            let leads = |field: &str| field.strip_prefix(&path).is_some_and(|rest| rest.starts_with('.'));
            // Something that is already an object, or an unset part of one, may hold what the rest of the path names.
            let holds = value.get(*name).is_some_and(Value::is_object)
                || fields.iter().any(|(field, _)| leads(field));
            let is_object = Kind::of_object(value[*name]["object"].as_str().unwrap_or_default()).is_some();
            match linked {
                Some((_, kind)) => replace_id(call, &mut value[*name], *kind),
                None if holds && (!rest.is_empty() || is_object) => {}
                None => return refuse(),
            }
        }
    }
    match value.get_mut(*name) {
        Some(Value::Null) | None => Ok(()),
        // Stripe shows a deleted object by its stub, which holds nothing more to expand.
        Some(inner) if inner.get("deleted").is_some() => Ok(()),
        Some(inner) if inner.get("object").is_some() => walk(call, inner, rest),
        Some(inner) => walk_inside(call, inner, (object, &path), rest),
    }
}

fn include(value: &mut Value, name: &str, list: impl FnOnce(&Value) -> Value) {
    if value.get(name).is_none_or(Value::is_null) {
        value[name] = list(value);
    }
}

/// What `expand[]` can replace in an object of this type.
fn expandable(object: &str) -> &'static [(&'static str, Kind)] {
    match (object, Kind::of_object(object)) {
        (_, Some(kind)) => kind.expandable(),
        ("line_item", None) => &[
            ("parent.subscription_item_details.subscription", Kind::Subscription),
            ("pricing.price_details.price", Kind::Price),
        ],
        _ => &[],
    }
}

fn replace_id(call: &Call, field: &mut Value, kind: Kind) {
    let Some(id) = field.as_str() else { return };
    let kind = Kind::of_id(id).unwrap_or(kind);
    let object = match call.text(kind, id) {
        Some(text) => json::parse(&text),
        None => json!({ "id": id, "object": kind.noun(), "deleted": true }),
    };
    *field = object;
}
