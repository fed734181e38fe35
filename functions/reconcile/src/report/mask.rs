//! Addresses out of texts that somebody else wrote.

use serde_json::Value;

use crate::finding::Finding;

/// A finding whose texts show no address.
pub fn finding(finding: &Finding) -> Finding {
    let mut shown = finding.clone();
    shown.id = masked(&shown.id);
    shown.account = shown.account.as_deref().map(masked);
    shown.field = shown.field.as_deref().map(masked);
    shown.reason = shown.reason.as_deref().map(masked);
    shown.stripe = shown.stripe.map(value);
    shown.ours = shown.ours.map(value);
    shown
}

fn value(shown: Value) -> Value {
    match shown {
        Value::String(text) => Value::String(masked(&text)),
        Value::Array(values) => values.into_iter().map(value).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, field)| (masked(&name), value(field))).collect()
        }
        other => other,
    }
}

/// The text with each e-mail address as `a***@***`.
pub fn masked(text: &str) -> String {
    let local = |character: char| character.is_alphanumeric() || "._%+-".contains(character);
    let domain = |character: char| character.is_alphanumeric() || ".-".contains(character);
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('@') {
        let name = before.trim_end_matches(local).len();
        let host = after.len() - after.trim_start_matches(domain).len();
        match before[name..].chars().next() {
            Some(first) if host > 0 => {
                shown.push_str(&before[..name]);
                shown.push(first);
                shown.push_str("***@***");
                rest = &after[host..];
            }
            _ => {
                shown.push_str(before);
                shown.push('@');
                rest = after;
            }
        }
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_masked_and_nothing_else() {
        for (text, shown) in [
            ("ada@example.com", "a***@***"),
            ("from ada.l+x@mail.example.com, to 花子@例え.jp.", "from a***@***, to 花***@***"),
            ("a@b@c.de", "a***@***@c.de"),
            ("@handle and cs_1@ stay", "@handle and cs_1@ stay"),
            ("v1.2 ch_1", "v1.2 ch_1"),
            ("", ""),
        ] {
            assert_eq!(masked(text), shown, "{text}");
        }
    }
}
