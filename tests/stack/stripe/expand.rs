//! `expand[]`: ids replaced by their objects (<https://docs.stripe.com/api/expanding_objects>).

use serde_json::{Value, json};

use super::errors::{ApiError, Result};
use super::json;
use super::kinds::Kind;
use super::resources::{charges, line_items};
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
    let Some((name, rest)) = names.split_first() else { return Ok(()) };
    let object = value["object"].as_str().unwrap_or_default();
    if object == "list" && *name == "data" {
        let items = value["data"].as_array_mut().expect("a list has data");
        return items.iter_mut().try_for_each(|item| walk(call, item, rest));
    }
    let refuse =
        || Err(ApiError::invalid(None, format!("This property cannot be expanded ({name})."), "expand"));
    match (object, *name) {
        ("event", _) => return refuse(),
        ("checkout.session", "line_items") => {
            if value.get("line_items").is_none() {
                value["line_items"] = line_items::embedded(call, value);
            }
        }
        ("charge", "refunds") => {
            if value.get("refunds").is_none_or(Value::is_null) {
                value["refunds"] = charges::embedded_refunds(call, value);
            }
        }
        _ => {
            let kind = Kind::of_object(object);
            let linked = kind.and_then(|kind| kind.expandable().iter().find(|(field, _)| field == name));
            let inside = value.get(*name).is_some_and(Value::is_object);
            match linked {
                Some((field, kind)) => replace_id(call, &mut value[*field], *kind),
                // Something that is already an object may hold what the rest of the path names.
                None if inside
                    && (!rest.is_empty()
                        || Kind::of_object(value[*name]["object"].as_str().unwrap_or_default())
                            .is_some()) => {}
                None => return refuse(),
            }
        }
    }
    match value.get_mut(*name) {
        Some(Value::Null) | None => Ok(()),
        // Stripe shows a deleted object by its stub, which holds nothing more to expand.
        Some(inner) if inner.get("deleted").is_some() => Ok(()),
        Some(inner) => walk(call, inner, rest),
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
