//! JSON whose texts are masked. Everything but these texts stays to the byte: keys, order, spaces, numbers.
//!
//! A text stays where it cannot be personal: an id as Stripe writes them, a word of lower case letters as codes and
//! states are, a type, a version. Under a key that is known to hold what people typed, nothing stays; nor in
//! `metadata`, except for our own keys.

/// Keys whose texts are about people, or typed by them.
const PERSONAL: [&str; 33] = [
    "name",
    "email",
    "phone",
    "line1",
    "line2",
    "city",
    "state",
    "postal_code",
    "town",
    "description",
    "receipt_email",
    "customer_email",
    "customer_name",
    "customer_phone",
    "ip",
    "ip_address",
    "ip_city",
    "user_agent",
    "note",
    "notes",
    "comment",
    "message",
    "first_name",
    "last_name",
    "full_name",
    "given_name",
    "family_name",
    "username",
    "nickname",
    "address",
    "street",
    "statement_descriptor",
    "last4",
];

/// A text of an id or a code is at most this long.
const CODE_BYTES_MAX: usize = 80;

/// Masks the texts of a document with what `replacement` makes of each. None where it is no JSON.
pub(crate) fn mask_json(document: &[u8], replacement: impl Fn(&[u8]) -> String) -> Option<String> {
    serde_json::from_slice::<serde::de::IgnoredAny>(document).ok()?;
    let document = std::str::from_utf8(document).ok()?;
    let mut out = String::with_capacity(document.len());
    // The keys that lead to where we are; an array stands under its own key.
    let mut path: Vec<Place> = vec![Place::default()];
    let mut rest = document;
    while let Some(at) = rest.find(['"', '{', '[', '}', ']', ',']) {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        if !after.starts_with('"') {
            let sign = &after[..1];
            match sign {
                "{" | "[" => {
                    let here = path.last()?;
                    let key = if sign == "{" { String::new() } else { here.key.clone() };
                    let in_metadata = here.in_metadata || here.key == "metadata";
                    path.push(Place { key, in_metadata, is_object: sign == "{", key_is_next: sign == "{" });
                }
                "}" | "]" => drop(path.pop()),
                _ => {
                    let here = path.last_mut()?;
                    here.key_is_next = here.is_object;
                }
            }
            out.push_str(sign);
            rest = &after[1..];
            continue;
        }
        let end = end_of_text(after)?;
        let (quoted, following) = after.split_at(end);
        let text: String = serde_json::from_str(quoted).ok()?;
        let here = path.last_mut()?;
        if here.key_is_next {
            here.key_is_next = false;
            here.key = text;
            out.push_str(quoted);
        } else if here.keeps(&text) {
            out.push_str(quoted);
        } else {
            out.push('"');
            out.push_str(&masked(&text, &replacement));
            out.push('"');
        }
        rest = following;
    }
    out.push_str(rest);
    Some(out)
}

/// Where in a document a text stands.
#[derive(Default)]
struct Place {
    key: String,
    in_metadata: bool,
    is_object: bool,
    key_is_next: bool,
}

impl Place {
    fn keeps(&self, text: &str) -> bool {
        if text.is_empty() {
            return true;
        }
        if self.in_metadata || self.key == "metadata" {
            return self.key.starts_with("recoup_");
        }
        !PERSONAL.contains(&self.key.to_ascii_lowercase().as_str()) && is_code(text)
    }
}

/// Whether a text is an id (`pi_3Nx…`), a state (`requires_action`), a type (`charge.succeeded`), a date or a version.
fn is_code(text: &str) -> bool {
    if text.len() > CODE_BYTES_MAX
        || !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-:".contains(&byte))
    {
        return false;
    }
    let is_id = text.split_once('_').is_some_and(|(prefix, rest)| {
        (2..=12).contains(&prefix.len())
            && prefix.bytes().all(|byte| byte.is_ascii_lowercase())
            && !rest.is_empty()
    });
    let is_word = text.bytes().all(|byte| byte.is_ascii_lowercase() || b"_.".contains(&byte));
    // `2026-11-21T03:15:42Z`, `2026-09-30.endive`.
    let is_date = text.len() >= 10
        && text.as_bytes()[4] == b'-'
        && text.as_bytes()[7] == b'-'
        && text.bytes().take(4).all(|byte| byte.is_ascii_digit());
    let is_country = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    is_id || is_word || is_date || is_country
}

/// An address becomes an address, any other text another text.
fn masked(text: &str, replacement: &impl Fn(&[u8]) -> String) -> String {
    let hex = replacement(text.as_bytes());
    if text.contains('@') { format!("user-{hex}@example.invalid") } else { format!("masked {hex}") }
}

/// The byte after the text that begins here with its quote.
fn end_of_text(quoted: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in quoted.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(document: &str) -> Option<String> {
        mask_json(document.as_bytes(), |text| format!("<{}>", text.len()))
    }

    #[test]
    fn texts_of_people_are_masked_and_codes_stay() {
        let document = r#"{"id": "pi_1", "status": "succeeded", "amount": 12.50, "paid": true, "none": null,
            "billing_details": {"name": "Ada \"A\" Lovelace", "email": "ada@example.com", "address": {"country": "GB", "city": "london"}},
            "metadata": {"who": "ada", "recoup_kind": "course"}, "names": ["Ada", "usd"],
            "api_version": "2026-09-30.endive", "created_at": "2026-11-21T03:15:42Z", "free": "Ring me at 5"}"#;
        let masked = mask(document).expect("JSON");
        for gone in ["Ada", "\"ada", "london", "Ring"] {
            assert!(!masked.contains(gone), "{gone}: {masked}");
        }
        let expected = document
            .replace(r#""Ada \"A\" Lovelace""#, r#""masked <16>""#)
            .replace("\"ada@example.com\"", "\"user-<15>@example.invalid\"")
            .replace("\"london\"", "\"masked <6>\"")
            .replace("\"ada\"", "\"masked <3>\"")
            .replace("[\"Ada\"", "[\"masked <3>\"")
            .replace("\"Ring me at 5\"", "\"masked <12>\"");
        assert_eq!(masked, expected);
    }

    #[test]
    fn what_is_no_document_is_not_taken_for_one() {
        assert_eq!(mask("Ada"), None);
        assert_eq!(mask("{\"a\": "), None);
        assert_eq!(mask("\"Ada\"").as_deref(), Some("\"masked <3>\""));
        assert_eq!(mask("[]").as_deref(), Some("[]"));
        assert_eq!(mask("17").as_deref(), Some("17"));
        assert_eq!(
            mask(r#"{"a":{"b":1},"name":"x"}"#).as_deref(),
            Some(r#"{"a":{"b":1},"name":"masked <1>"}"#)
        );
    }
}
