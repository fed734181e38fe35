//! JSON as Stripe writes it: `id` and `object` first, bodies of deliveries indented by two spaces.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

/// Compact text with `id` and `object` leading each object.
pub fn compact(value: &Value) -> String {
    serde_json::to_string(&Leading(value)).expect("a JSON value always has a text")
}

/// The value of a text that [`compact`] wrote.
pub fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect("stored objects are texts written by compact")
}

/// A JSON string literal.
pub fn quote(text: &str) -> String {
    serde_json::to_string(text).expect("a string always has a JSON text")
}

/// A string literal, or `null`.
pub fn quote_or_null(text: Option<&str>) -> String {
    text.map_or_else(|| "null".to_owned(), quote)
}

struct Leading<'v>(&'v Value);

impl Serialize for Leading<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for name in ["id", "object"] {
                    if let Some(value) = fields.get(name) {
                        map.serialize_entry(name, &Leading(value))?;
                    }
                }
                for (name, value) in fields.iter().filter(|(name, _)| *name != "id" && *name != "object") {
                    map.serialize_entry(name, &Leading(value))?;
                }
                map.end()
            }
            Value::Array(items) => serializer.collect_seq(items.iter().map(Leading)),
            scalar => scalar.serialize(serializer),
        }
    }
}

/// Indents compact JSON by two spaces without reading it into values: the order and every literal stay.
pub fn pretty(compact: &str) -> String {
    let mut out = String::with_capacity(compact.len() * 3 / 2);
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    let mut characters = compact.chars().peekable();
    while let Some(character) = characters.next() {
        if in_string {
            out.push(character);
            in_string = escaped || character != '"';
            escaped = !escaped && character == '\\';
            continue;
        }
        match character {
            '"' => {
                in_string = true;
                out.push(character);
            }
            '{' | '[' => {
                out.push(character);
                if let Some(close) = characters.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(character);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            other => out.push(other),
        }
    }
    out
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    for _ in 0..depth {
        out.push_str("  ");
    }
}

/// What an update changed, as `data.previous_attributes` tells it: the old value of each field that differs,
/// field by field inside objects, `null` for what was not there. `None` when nothing differs.
pub fn previous_attributes(old: &Value, new: &Value) -> Option<Value> {
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        return (old != new).then(|| old.clone());
    };
    let mut changed = serde_json::Map::new();
    for name in old.keys().chain(new.keys().filter(|name| !old.contains_key(*name))) {
        let before = old.get(name).unwrap_or(&Value::Null);
        let after = new.get(name).unwrap_or(&Value::Null);
        if let Some(previous) = previous_attributes(before, after) {
            changed.insert(name.clone(), previous);
        }
    }
    (!changed.is_empty()).then_some(Value::Object(changed))
}
