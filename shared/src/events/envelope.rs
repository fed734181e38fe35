//! The envelope of an event: what every API version and every event type has in common. It is read with the
//! least of assumptions, because it alone decides whether an event can be filed under its id.

use std::fmt::Write;

use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::field::{Fault, Id, Instant, Text, read};

/// A signed body, read as far as it can be.
#[derive(Debug)]
pub struct Event<'a> {
    /// Stripe's id, or `unreadable_…` from the body's SHA-256 where there is none.
    pub id: String,
    /// The type, such as `charge.refunded`; `unreadable` where there is none.
    pub kind: String,
    /// The API version that the object's shape follows.
    pub api_version: Option<Text>,
    /// The connected account that it happened in.
    pub account: Option<Text>,
    /// Whether it is about real money; `None` where the event does not say.
    pub livemode: Option<bool>,
    /// When it happened, in whole seconds; `None` where the event does not say.
    pub created: Option<OffsetDateTime>,
    /// When we got it.
    pub received: std::time::Instant,
    /// The body, to the byte.
    pub body: &'a [u8],
    /// `data.object`, or why the event cannot be used.
    pub object: Result<&'a RawValue, Fault>,
}

/// The body as Postgres can keep it.
pub enum Payload<'a> {
    /// As text.
    Text(&'a str),
    /// As bytes, where it is not valid UTF-8 or has a NUL in it.
    Raw(&'a [u8]),
}

/// `D` is how `data` is read.
#[derive(Deserialize)]
struct Fields<'a, D> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    api_version: Option<&'a RawValue>,
    #[serde(borrow)]
    account: Option<&'a RawValue>,
    #[serde(borrow)]
    livemode: Option<&'a RawValue>,
    #[serde(borrow)]
    created: Option<&'a RawValue>,
    data: Option<D>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    object: &'a RawValue,
}

impl<'a> Event<'a> {
    /// Reads a body. This cannot fail: what has no readable envelope is an event all the same, one whose
    /// `object` says what is wrong.
    pub fn read(body: &'a [u8]) -> Self {
        // Nearly every body has its object where it belongs, and is read in one pass.
        if let Ok(fields) = serde_json::from_slice::<Fields<'a, Data<'a>>>(body) {
            let missing = || Fault::new("data", "missing");
            return Self::of(body, fields, |data| data.map(|data| data.object).ok_or_else(missing));
        }
        match serde_json::from_slice::<Fields<'a, &'a RawValue>>(body) {
            Ok(fields) => {
                Self::of(body, fields, |data| required::<Data<'a>>("data", data).map(|data| data.object))
            }
            Err(_) => Self::unreadable(body, Fault::new("body", "not a JSON object")),
        }
    }

    fn of<D>(
        body: &'a [u8],
        fields: Fields<'a, D>,
        object: impl FnOnce(Option<D>) -> Result<&'a RawValue, Fault>,
    ) -> Self {
        let id = match required::<Id>("id", fields.id) {
            Ok(id) => id.into_string(),
            Err(fault) => return Self::unreadable(body, fault),
        };
        let mut faults = Vec::new();
        let kind = note(&mut faults, required::<Id>("type", fields.kind));
        let api_version = note(&mut faults, optional::<Text>("api_version", fields.api_version)).flatten();
        let account = note(&mut faults, optional::<Text>("account", fields.account)).flatten();
        let livemode = note(&mut faults, required::<bool>("livemode", fields.livemode));
        let created = note(&mut faults, required_created(fields.created));
        let object = object(fields.data);
        Self {
            id,
            kind: kind.map_or_else(|| "unreadable".to_owned(), Id::into_string),
            api_version,
            account,
            livemode,
            created,
            received: std::time::Instant::now(),
            body,
            object: match faults.into_iter().next() {
                Some(fault) => Err(fault),
                None => object,
            },
        }
    }

    fn unreadable(body: &'a [u8], fault: Fault) -> Self {
        let mut id = "unreadable_".to_owned();
        for byte in &Sha256::digest(body)[..12] {
            write!(id, "{byte:02x}").expect("a String takes any text");
        }
        Self {
            id,
            kind: "unreadable".to_owned(),
            api_version: None,
            account: None,
            livemode: None,
            created: None,
            received: std::time::Instant::now(),
            body,
            object: Err(fault),
        }
    }

    /// The body in the form that Postgres can keep.
    pub fn payload(&self) -> Payload<'a> {
        match std::str::from_utf8(self.body) {
            Ok(text) if !text.contains('\0') => Payload::Text(text),
            _ => Payload::Raw(self.body),
        }
    }
}

fn note<T>(faults: &mut Vec<Fault>, read: Result<T, Fault>) -> Option<T> {
    read.map_err(|fault| faults.push(fault)).ok()
}

fn required<'a, T: Deserialize<'a>>(path: &str, value: Option<&'a RawValue>) -> Result<T, Fault> {
    read(path, value.ok_or_else(|| Fault::new(path, "missing"))?)
}

fn optional<'a, T: Deserialize<'a>>(path: &str, value: Option<&'a RawValue>) -> Result<Option<T>, Fault> {
    value.map_or(Ok(None), |value| read(path, value))
}

/// Seconds since 1970, or RFC 3339 as thin (v2) events have it.
fn required_created(value: Option<&RawValue>) -> Result<OffsetDateTime, Fault> {
    let text: Option<String> = optional("created", value).ok().flatten();
    match text.and_then(|text| OffsetDateTime::parse(&text, &Rfc3339).ok()) {
        Some(created) => Ok(created),
        None => required::<Instant>("created", value).map(|instant| instant.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_event_is_read() {
        let body = br#"{"id":"evt_1","object":"event","api_version":"2019-05-16","created":1600000000,
            "data":{"object":{"id":"ch_1"}},"livemode":false,"type":"charge.succeeded"}"#;
        let event = Event::read(body);
        assert_eq!((event.id.as_str(), event.kind.as_str()), ("evt_1", "charge.succeeded"));
        assert_eq!(event.created.map(OffsetDateTime::unix_timestamp), Some(1_600_000_000));
        assert_eq!(event.object.expect("an object").get(), r#"{"id":"ch_1"}"#);
    }

    #[test]
    fn what_cannot_be_read_keeps_an_id_and_a_reason() {
        let cases: [(&[u8], &str, &str); 7] = [
            (b"not json", "unreadable_", "body: not a JSON object"),
            (b"\xff\xfe", "unreadable_", "body: not a JSON object"),
            (br#"{"type":"x"}"#, "unreadable_", "id: missing"),
            (br#"{"id":7}"#, "unreadable_", "id: invalid type: integer …, expected a string"),
            (br#"{"id":"evt_1"}"#, "evt_1", "type: missing"),
            (
                br#"{"id":"evt_1","type":"t","livemode":"no","created":1,"data":{"object":{}}}"#,
                "evt_1",
                "livemode: invalid type: string …, expected a boolean",
            ),
            (
                br#"{"id":"evt_1","type":"t","livemode":true,"created":1e30,"data":{"object":{}}}"#,
                "evt_1",
                "created: ",
            ),
        ];
        for (body, id, reason) in cases {
            let event = Event::read(body);
            assert!(event.id.starts_with(id), "{}", event.id);
            let fault = event.object.expect_err("a fault").to_string();
            assert!(fault.starts_with(reason), "{fault}");
        }
    }

    #[test]
    fn depth_does_not_matter_to_the_envelope() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let body =
            format!(r#"{{"id":"evt_1","type":"t","livemode":true,"created":1,"data":{{"object":{deep}}}}}"#);
        assert_eq!(Event::read(body.as_bytes()).object.expect("an object").get().len(), 200_000);
    }

    #[test]
    fn a_thin_event_has_its_time_as_text() {
        let body =
            br#"{"id":"evt_1","object":"v2.core.event","type":"v1.billing.meter.error","livemode":true,
            "created":"2026-01-02T03:04:05.000Z"}"#;
        let event = Event::read(body);
        assert!(event.created.is_some());
        assert_eq!(event.object.expect_err("no object").to_string(), "data: missing");
    }
}
