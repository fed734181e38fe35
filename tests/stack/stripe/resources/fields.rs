//! Parameters into fields of objects, where several resources have the same.

use serde_json::{Map, Value, json};

use crate::stripe::errors::{ApiError, Result};
use crate::stripe::form::{Form, Params};

const METADATA_KEYS_MAX: usize = 50;
const METADATA_KEY_LENGTH_MAX: usize = 40;
const METADATA_VALUE_LENGTH_MAX: usize = 500;

/// Sets the given texts; an empty one becomes `null`.
pub fn set_texts(object: &mut Value, params: Params, names: &[&str]) -> Result<()> {
    for name in names {
        if let Some(text) = params.nullable(name)? {
            object[*name] = text.into();
        }
    }
    Ok(())
}

/// Sets the given booleans.
pub fn set_booleans(object: &mut Value, params: Params, names: &[&str]) -> Result<()> {
    for name in names {
        if let Some(flag) = params.boolean(name)? {
            object[*name] = flag.into();
        }
    }
    Ok(())
}

/// Sets the given lists of texts.
pub fn set_lists(object: &mut Value, params: Params, names: &[&str]) -> Result<()> {
    for name in names {
        if let Some(texts) = params.texts(name)? {
            object[*name] = texts.into();
        }
    }
    Ok(())
}

/// Merges `metadata`: an empty value deletes its key, an empty `metadata` deletes all.
pub fn set_metadata(object: &mut Value, params: Params) -> Result<()> {
    let Some(entries) = params.entries("metadata")? else { return Ok(()) };
    if !object["metadata"].is_object() || entries.is_empty() {
        object["metadata"] = json!({});
    }
    let metadata = object["metadata"].as_object_mut().expect("it was just made an object");
    for (key, value) in entries {
        let name = format!("{}[{key}]", params.name("metadata"));
        let refuse = |message: String| Err(ApiError::invalid(None, message, name.clone()));
        match value {
            Form::Map(_) => return refuse("Metadata values must be strings".to_owned()),
            Form::Text(text) if text.is_empty() => {
                metadata.remove(key);
            }
            Form::Text(text) => {
                if key.chars().count() > METADATA_KEY_LENGTH_MAX {
                    return refuse(format!(
                        "Metadata keys can have up to {METADATA_KEY_LENGTH_MAX} characters; you passed in a key that is {} \
                         characters. Invalid key: {key}",
                        key.chars().count()
                    ));
                }
                if text.chars().count() > METADATA_VALUE_LENGTH_MAX {
                    return refuse(format!(
                        "Metadata values can have up to {METADATA_VALUE_LENGTH_MAX} characters, but you passed in a value \
                         that is {} characters. Invalid value: {text}",
                        text.chars().count()
                    ));
                }
                metadata.insert(key.clone(), text.clone().into());
            }
        }
    }
    if metadata.len() > METADATA_KEYS_MAX {
        let message =
            format!("You can have up to {METADATA_KEYS_MAX} metadata keys; you passed {}.", metadata.len());
        return Err(ApiError::invalid(None, message, params.name("metadata")));
    }
    Ok(())
}

/// An address with every field, from `address[…]`; `null` when unset.
pub fn address(params: Params, key: &str) -> Result<Option<Value>> {
    let Some(entries) = params.entries(key)? else { return Ok(None) };
    if entries.is_empty() {
        return Ok(Some(Value::Null));
    }
    let level = params.name(key);
    let inner = Params::at(entries, &level);
    let names = ["city", "country", "line1", "line2", "postal_code", "state"];
    inner.allow(&names, &[])?;
    let mut address = Map::new();
    for name in names {
        address.insert(name.to_owned(), inner.text(name)?.into());
    }
    Ok(Some(Value::Object(address)))
}

/// `shipping[name|phone|address]`.
pub fn set_shipping(object: &mut Value, params: Params) -> Result<()> {
    let Some(entries) = params.entries("shipping")? else { return Ok(()) };
    if entries.is_empty() {
        object["shipping"] = Value::Null;
        return Ok(());
    }
    let level = params.name("shipping");
    let inner = Params::at(entries, &level);
    inner.allow(&["address", "carrier", "name", "phone", "tracking_number"], &[])?;
    object["shipping"] = json!({
        "address": address(inner, "address")?.ok_or_else(|| ApiError::missing(&inner.name("address")))?,
        "carrier": inner.text("carrier")?,
        "name": inner.required("name")?,
        "phone": inner.text("phone")?,
        "tracking_number": inner.text("tracking_number")?,
    });
    Ok(())
}

/// An address of which nothing is known.
pub fn no_address() -> Value {
    json!({ "city": null, "country": null, "line1": null, "line2": null, "postal_code": null, "state": null })
}
