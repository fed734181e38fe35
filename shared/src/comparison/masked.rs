//! Keys as a report may show them: enough to find the row, nothing about a person.

use serde::Serialize;

/// The columns of a key with their values, masked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct MaskedKey(pub serde_json::Map<String, serde_json::Value>);

impl MaskedKey {
    /// Masks the values of a key's columns.
    pub fn new(columns: &[String], values: &[Option<String>]) -> Self {
        let shown = values.iter().map(|value| value.as_deref().map(masked).into());
        Self(columns.iter().cloned().zip(shown).collect())
    }
}

/// A value that names a thing stays: numbers, dates, UUIDs, and ids as Stripe makes them (`evt_1Nv0…`). Of anything else
/// (an address, a name) the first letter stays.
fn masked(value: &str) -> String {
    if is_plain(value) || is_identifier(value) {
        return value.to_owned();
    }
    let first: String = value.chars().take(1).filter(|letter| letter.is_alphanumeric()).collect();
    format!("{first}***")
}

/// Digits and what parts them in numbers, dates, times and UUIDs.
fn is_plain(value: &str) -> bool {
    let uuid = value.len() == 36 && value.chars().all(|letter| letter.is_ascii_hexdigit() || letter == '-');
    let parts = |letter: char| letter.is_ascii_digit() || "-+:. ".contains(letter);
    uuid || (value.len() <= 32 && value.chars().all(parts))
}

fn is_identifier(value: &str) -> bool {
    value.split_once('_').is_some_and(|(kind, rest)| {
        (2..=12).contains(&kind.len())
            && kind.chars().all(|letter| letter.is_ascii_lowercase())
            && !rest.is_empty()
            && rest.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
            && rest.chars().any(|letter| letter.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_a_thing_stays_and_what_names_a_person_does_not() {
        for shown in [
            "",
            "42",
            "-7",
            "2026-11-29 20:00:00+00",
            "00000000-0000-0000-0000-00000000000a",
            "evt_1Nv0abc",
            "cs_test_a1",
        ] {
            assert_eq!(masked(shown), shown);
        }
        for (value, shown) in
            [("ada@example.com", "a***"), ("ada_lovelace", "a***"), ("Ada", "A***"), ("Ünal 7", "Ü***")]
        {
            assert_eq!(masked(value), shown);
        }
        let key = MaskedKey::new(&["id".to_owned(), "email".to_owned()], &[None, Some("x@y.z".to_owned())]);
        assert_eq!(serde_json::to_string(&key).expect("json"), r#"{"email":"x***","id":null}"#);
    }
}
