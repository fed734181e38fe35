//! What Lambda hands over: a request to the HTTP API, or one of Stripe's events from Amazon EventBridge.
//!
//! The gateway's requests are read in the form that lambda_http knows, and not made into requests of HTTP: it panics
//! where a path, a query or a body has no such form, and anyone on the internet may send one. An event of EventBridge
//! is told by its source, and its `detail` is kept to the byte (Stripe documentation, "Send events to Amazon
//! EventBridge").

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use recoup::failure::Failure;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Who calls.
#[derive(Debug)]
pub enum Invocation<'p> {
    /// Somebody on the internet.
    Http(Box<HttpRequest>),
    /// EventBridge, which alone may invoke this function so: the event, to the byte.
    Partner(&'p [u8]),
}

/// A request, as far as anything here asks for it.
#[derive(Debug)]
pub struct HttpRequest {
    request: ApiGatewayV2httpRequest,
    body: Vec<u8>,
}

impl HttpRequest {
    /// Takes the body out, which the gateway hands over as text or, where it is none, as base64.
    fn new(mut request: ApiGatewayV2httpRequest) -> Result<Self, Failure> {
        let text = request.body.take().unwrap_or_default();
        let body = match request.is_base64_encoded {
            true => STANDARD.decode(text).map_err(|_| foreign())?,
            false => text.into_bytes(),
        };
        Ok(Self { request, body })
    }

    /// Such as `POST`.
    pub fn method(&self) -> &str {
        self.request.request_context.http.method.as_str()
    }

    /// Without the query.
    pub fn path(&self) -> &str {
        self.request.raw_path.as_deref().unwrap_or_default()
    }

    /// The header `Stripe-Signature`; one that is not text is as good as none that can be read.
    pub fn signature(&self) -> Option<&str> {
        self.request.headers.get("stripe-signature").map(|value| value.to_str().unwrap_or_default())
    }

    /// The body, to the byte.
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

#[derive(Deserialize)]
struct Partner<'p> {
    #[serde(borrow, default)]
    source: Cow<'p, str>,
    #[serde(borrow)]
    detail: Option<&'p RawValue>,
}

impl<'p> Invocation<'p> {
    /// Reads a payload.
    ///
    /// # Errors
    /// `InvalidRequest`: neither a request nor an event of Stripe's. The content is not repeated.
    pub fn read(payload: &'p RawValue) -> Result<Self, Failure> {
        // Nearly all are requests. They are tried first, so that a payload is read once.
        if let Ok(request) = serde_json::from_str(payload.get()) {
            return Ok(Self::Http(Box::new(HttpRequest::new(request)?)));
        }
        match serde_json::from_str(payload.get()) {
            Ok(Partner { source, detail: Some(event) }) if source.starts_with("aws.partner/stripe.com/") => {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).expect("JSON")
    }

    fn request(headers: &str, body: &str, is_base64: bool) -> Box<RawValue> {
        raw(&format!(
            r#"{{"version":"2.0","routeKey":"$default","rawPath":"/webhooks/stripe","rawQueryString":"","headers":{headers},
                "requestContext":{{"accountId":"1","apiId":"a","stage":"$default","requestId":"r","timeEpoch":1,
                    "http":{{"method":"POST","path":"/webhooks/stripe","protocol":"HTTP/1.1","sourceIp":"127.0.0.1",
                        "userAgent":"Stripe/1.0"}}}},
                "body":{body},"isBase64Encoded":{is_base64}}}"#,
        ))
    }

    #[test]
    fn a_request_is_read() {
        let headers = r#"{"content-type":"application/json","stripe-signature":"t=1,v1=00"}"#;
        let payload = request(headers, r#""{\"id\":\"evt_1\"}\n""#, false);
        let Ok(Invocation::Http(request)) = Invocation::read(&payload) else { panic!("a request") };
        assert_eq!((request.method(), request.path()), ("POST", "/webhooks/stripe"));
        assert_eq!(request.signature(), Some("t=1,v1=00"));
        assert_eq!(request.body(), b"{\"id\":\"evt_1\"}\n");
    }

    #[test]
    fn what_is_not_text_comes_as_base64() {
        let payload = request("{}", r#""//4A""#, true);
        let Ok(Invocation::Http(request)) = Invocation::read(&payload) else { panic!("a request") };
        assert_eq!(request.body(), b"\xff\xfe\x00");
        assert!(request.signature().is_none());
    }

    #[test]
    fn base64_that_is_none_is_refused() {
        for body in [r#""PLANTED!""#, r#""abc""#, r#""//4A\n""#] {
            let failure = Invocation::read(&request("{}", body, true)).expect_err("refused");
            assert_eq!(failure.error_type(), "InvalidRequest", "{body}");
            assert!(!failure.to_string().contains("PLANTED"), "{failure}");
        }
    }

    #[test]
    fn what_no_uri_has_is_a_request_all_the_same() {
        let plain = request(r#"{"host":"a b<>","x-forwarded-proto":"\u00e9"}"#, "null", false);
        for (from, to) in [
            (r#""rawPath":"/webhooks/stripe""#, r#""rawPath":"/ <\u00e9>\u0000""#),
            (r#""rawQueryString":"""#, r#""rawQueryString":"a=<b> \"c""#),
            (r#""version":"2.0""#, r#""version":"2.0","cookies":["\u0000"]"#),
        ] {
            let changed = plain.get().replacen(from, to, 1);
            assert_ne!(changed, plain.get());
            assert!(matches!(Invocation::read(&raw(&changed)), Ok(Invocation::Http(_))), "{changed}");
        }
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
        ] {
            let failure = Invocation::read(&raw(json)).expect_err("refused");
            assert_eq!(failure.error_type(), "InvalidRequest", "{json}");
            assert!(!failure.to_string().contains("ada@"), "{failure}");
        }
    }
}
