//! What Lambda hands over: a request to the HTTP API, or one of Stripe's events from Amazon EventBridge.
//!
//! Both are read in one pass and only as far as they are needed, so that a gateway that adds fields changes
//! nothing here. (API Gateway Developer Guide, "AWS Lambda proxy integrations for HTTP APIs", payload format 2.0;
//! Stripe documentation, "Send events to Amazon EventBridge".)

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use recoup::failure::Failure;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Who calls.
#[derive(Debug)]
pub enum Invocation<'p> {
    /// Somebody on the internet.
    Http(HttpRequest<'p>),
    /// EventBridge, which alone may invoke this function so: the event, to the byte.
    Partner(&'p [u8]),
}

/// A request, as far as anything here asks for it.
#[derive(Debug)]
pub struct HttpRequest<'p> {
    /// Such as `POST`.
    pub method: Cow<'p, str>,
    /// Without the query.
    pub path: Cow<'p, str>,
    /// The header `Stripe-Signature`.
    pub signature: Option<Cow<'p, str>>,
    /// The body, to the byte.
    pub body: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'p> {
    #[serde(borrow, default)]
    raw_path: Cow<'p, str>,
    #[serde(borrow)]
    request_context: Option<Context<'p>>,
    #[serde(borrow, default)]
    headers: Headers<'p>,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
    #[serde(borrow, default)]
    source: Cow<'p, str>,
    #[serde(borrow)]
    detail: Option<&'p RawValue>,
}

#[derive(Deserialize)]
struct Context<'p> {
    #[serde(borrow)]
    http: Http<'p>,
}

#[derive(Deserialize)]
struct Http<'p> {
    #[serde(borrow)]
    method: Cow<'p, str>,
}

#[derive(Default)]
struct Headers<'p> {
    signature: Option<Cow<'p, str>>,
}

impl<'p> Invocation<'p> {
    /// Reads a payload.
    ///
    /// # Errors
    /// `InvalidRequest`: neither a request nor an event of Stripe's. The content is not repeated.
    pub fn read(payload: &'p RawValue) -> Result<Self, Failure> {
        let payload: Payload<'p> = serde_json::from_str(payload.get()).map_err(|_| foreign())?;
        if let Some(context) = payload.request_context {
            let text = payload.body.unwrap_or_default();
            let body = match payload.is_base64_encoded {
                true => STANDARD.decode(text).map_err(|_| foreign())?,
                false => text.into_bytes(),
            };
            return Ok(Self::Http(HttpRequest {
                method: context.http.method,
                path: payload.raw_path,
                signature: payload.headers.signature,
                body,
            }));
        }
        match payload.detail {
            Some(event) if payload.source.starts_with("aws.partner/stripe.com/") => {
                Ok(Self::Partner(event.get().as_bytes()))
            }
            _ => Err(foreign()),
        }
    }
}

fn foreign() -> Failure {
    Failure::invalid_request(
        "this function is called by its HTTP API (payload format 2.0) and by EventBridge with Stripe's events \
         (source aws.partner/stripe.com/…); to give it an event, POST it, signed, to /webhooks/stripe",
    )
}

impl<'de: 'p, 'p> Deserialize<'de> for Headers<'p> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Signature;

        impl<'de> Visitor<'de> for Signature {
            type Value = Headers<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("headers")
            }

            fn visit_unit<E>(self) -> Result<Headers<'de>, E> {
                Ok(Headers::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers<'de>, A::Error> {
                let mut headers = Headers::default();
                while let Some(Text(name)) = map.next_key()? {
                    if name.eq_ignore_ascii_case("stripe-signature") {
                        headers.signature = Some(map.next_value::<Text<'de>>()?.0);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(headers)
            }
        }

        deserializer.deserialize_any(Signature)
    }
}

/// A text that is borrowed from the payload where it has no escapes.
#[derive(Deserialize)]
struct Text<'t>(#[serde(borrow)] Cow<'t, str>);

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).expect("JSON")
    }

    #[test]
    fn a_request_is_read() {
        let payload = raw(
            r#"{"version":"2.0","routeKey":"$default","rawPath":"/webhooks/stripe","rawQueryString":"",
                "headers":{"content-type":"application/json","Stripe-Signature":"t=1,v1=00"},"cookies":["a=b"],
                "requestContext":{"accountId":"1","http":{"method":"POST","path":"/webhooks/stripe"}},
                "body":"{\"id\":\"evt_1\"}\n","isBase64Encoded":false}"#,
        );
        let Ok(Invocation::Http(request)) = Invocation::read(&payload) else { panic!("a request") };
        assert_eq!((&*request.method, &*request.path), ("POST", "/webhooks/stripe"));
        assert_eq!(request.signature.as_deref(), Some("t=1,v1=00"));
        assert_eq!(request.body, b"{\"id\":\"evt_1\"}\n");
    }

    #[test]
    fn what_is_not_text_comes_as_base64() {
        let payload = raw(
            r#"{"rawPath":"/","headers":null,"requestContext":{"http":{"method":"POST"}},"body":"//4A","isBase64Encoded":true}"#,
        );
        let Ok(Invocation::Http(request)) = Invocation::read(&payload) else { panic!("a request") };
        assert_eq!(request.body, b"\xff\xfe\x00");
        assert!(request.signature.is_none());
    }

    #[test]
    fn an_event_of_eventbridge_is_kept_to_the_byte() {
        let payload = raw(
            r#"{"version":"0","id":"6a7e","detail-type":"customer.created","account":"1","time":"2026-11-21T00:00:00Z",
                "source":"aws.partner/stripe.com/ed_test_1","resources":[],"detail":{"id": "evt_1", "b":1.50 }}"#,
        );
        let Ok(Invocation::Partner(event)) = Invocation::read(&payload) else { panic!("an event") };
        assert_eq!(event, br#"{"id": "evt_1", "b":1.50 }"#);
    }

    #[test]
    fn anything_else_is_refused_and_not_repeated() {
        for json in [
            "{}",
            "[]",
            "null",
            r#""ada@example.com""#,
            r#"{"source":"aws.s3","detail":{"id":"ada@example.com"}}"#,
            r#"{"source":"aws.partner/stripe.com/ed_1"}"#,
            r#"{"requestContext":{"http":{"method":["ada@example.com"]}}}"#,
            r#"{"requestContext":{"http":{"method":"POST"}},"isBase64Encoded":true,"body":"ada@example.com"}"#,
        ] {
            let failure = Invocation::read(&raw(json)).expect_err("refused");
            assert_eq!(failure.error_type(), "InvalidRequest", "{json}");
            assert!(!failure.to_string().contains("ada@"), "{failure}");
        }
    }
}
