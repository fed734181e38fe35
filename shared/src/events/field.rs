//! The kinds of values that Stripe's objects are made of, read with tolerance and kept within bounds that
//! Postgres holds. What cannot be read becomes a [`Fault`] that names the field and never its content.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Longer ids than this are nobody's, and would not fit an index.
const ID_BYTES_MAX: usize = 255;

/// Why an event could not be understood: the field's path and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct Fault {
    path: String,
    reason: String,
}

impl Fault {
    /// A fault at a path such as `data.object.amount`.
    pub fn new(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { path: path.into(), reason: reason.into() }
    }
}

/// Reads a value below `root`.
///
/// # Errors
/// The fault names the deepest field that could not be read.
pub fn read<'a, T: Deserialize<'a>>(root: &str, json: &'a RawValue) -> Result<T, Fault> {
    let mut deserializer = serde_json::Deserializer::from_str(json.get());
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = match error.path().to_string() {
            path if path == "." => root.to_owned(),
            path if path.starts_with('[') => format!("{root}{path}"),
            path => format!("{root}.{path}"),
        };
        Fault::new(path, without_content(&error.into_inner().to_string()))
    })
}

/// serde quotes what it could not use (`invalid type: string "ada@example.com", expected i64 at line 1 column
/// 9`). That is what somebody sent, so it goes; the name of a missing field stays.
fn without_content(message: &str) -> String {
    let message = message.split(" at line ").next().unwrap_or(message);
    if message.starts_with("missing field") {
        return message.to_owned();
    }
    let quote = |character| matches!(character, '"' | '`');
    match (message.find(quote), message.rfind(quote)) {
        (Some(start), Some(end)) if start < end => format!("{}…{}", &message[..start], &message[end + 1..]),
        _ => message.to_owned(),
    }
}

/// A text. Postgres cannot hold U+0000, so it stands as U+FFFD; the raw payload keeps the original.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub struct Text(String);

impl Text {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.replace('\0', "\u{fffd}"))
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::from(text.as_str()))
    }
}

/// An id of one of Stripe's objects.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Id(String);

impl Id {
    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes the id out.
    pub fn into_string(self) -> String {
        self.0
    }

    fn checked<E: de::Error>(text: &str) -> Result<Self, E> {
        if text.is_empty() || text.len() > ID_BYTES_MAX || text.contains('\0') {
            return Err(E::custom(format!("an id has 1 to {ID_BYTES_MAX} bytes and no U+0000")));
        }
        Ok(Self(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::checked(&String::deserialize(deserializer)?)
    }
}

/// A reference to another object: its id, or the object itself where Stripe expanded it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Reference(Id);

impl Reference {
    /// The id that is referred to.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdOrObject;

        impl<'de> Visitor<'de> for IdOrObject {
            type Value = Reference;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id or an object with an id")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Reference, E> {
                Id::checked(text).map(Reference)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Reference, A::Error> {
                let mut id = None;
                while let Some(key) = map.next_key::<String>()? {
                    if key == "id" {
                        id = Some(map.next_value::<Id>()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                id.map(Reference).ok_or_else(|| de::Error::missing_field("id"))
            }
        }

        deserializer.deserialize_any(IdOrObject)
    }
}

/// An instant, which Stripe writes as whole seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub OffsetDateTime);

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        OffsetDateTime::from_unix_timestamp(i64::deserialize(deserializer)?)
            .map(Self)
            .map_err(|_| de::Error::custom("seconds since 1970, within the years that a calendar has"))
    }
}

/// As Postgres reads it; null where it lies in no year of four digits.
impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.format(&Rfc3339) {
            Ok(text) => serializer.serialize_str(&text),
            Err(_) => serializer.serialize_none(),
        }
    }
}

/// A whole number that cannot be below zero: what was charged, refunded or disputed, in minor units; a quantity.
/// What can be below zero (a payout, a credited line of an invoice) is an `i64`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, sqlx::Type, serde::Serialize)]
#[sqlx(transparent)]
#[serde(transparent)]
pub struct NonNegative(i64);

impl NonNegative {
    /// The number.
    pub fn get(self) -> i64 {
        self.0
    }
}

impl From<u32> for NonNegative {
    fn from(number: u32) -> Self {
        Self(number.into())
    }
}

impl<'de> Deserialize<'de> for NonNegative {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match i64::deserialize(deserializer)? {
            number @ 0.. => Ok(Self(number)),
            _ => Err(de::Error::custom("below zero, which it cannot be")),
        }
    }
}

/// Metadata: what the seller wrote on an object.
pub type Metadata = BTreeMap<String, Text>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Currency;

    fn fault<'a, T: Deserialize<'a> + fmt::Debug>(json: &'a str) -> String {
        let raw: &RawValue = serde_json::from_str(json).expect("json");
        read::<T>("data.object", raw).expect_err("a fault").to_string()
    }

    #[derive(Debug, serde::Deserialize)]
    #[expect(dead_code)]
    struct Charge {
        amount: NonNegative,
        currency: Option<Currency>,
        customer: Option<Reference>,
    }

    #[test]
    fn a_fault_names_the_field_and_not_its_content() {
        assert_eq!(fault::<Charge>("{}"), "data.object: missing field `amount`");
        let wrong = fault::<Charge>(r#"{"amount":"ada@example.com"}"#);
        assert_eq!(wrong, "data.object.amount: invalid type: string …, expected i64");
        assert!(
            fault::<Charge>(r#"{"amount":1,"customer":{"name":"Ada"}}"#).starts_with("data.object.customer")
        );
        assert!(fault::<Charge>(r#"{"amount":99999999999999999999}"#).starts_with("data.object.amount"));
        assert_eq!(fault::<Charge>(r#"{"amount":-1}"#), "data.object.amount: below zero, which it cannot be");
        assert_eq!(
            fault::<Charge>(r#"{"amount":1,"currency":"ada@example.com"}"#),
            "data.object.currency: … is not a three-letter currency code"
        );
        assert!(fault::<Id>(&format!("{:?}", "x".repeat(300))).contains("255"));
    }

    #[test]
    fn references_are_ids_or_expanded_objects() {
        for json in [r#""cus_1""#, r#"{"object":"customer","id":"cus_1","name":"Ada"}"#] {
            assert_eq!(serde_json::from_str::<Reference>(json).expect("a reference").as_str(), "cus_1");
        }
    }

    #[test]
    fn a_nul_does_not_reach_postgres() {
        assert_eq!(serde_json::from_str::<Text>(r#""a\u0000b""#).expect("text").as_str(), "a\u{fffd}b");
    }
}
