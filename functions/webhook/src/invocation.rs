//! What Lambda hands over: a request to the HTTP API, or one of Stripe's events from Amazon EventBridge.
//!
//! The gateway's requests are lambda_http's to read. An event of EventBridge is told by its source, and its
//! `detail` is kept to the byte (Stripe documentation, "Send events to Amazon EventBridge").

use std::borrow::Cow;

use lambda_http::{Request, RequestExt};
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
pub struct HttpRequest(Request);

impl HttpRequest {
    /// Such as `POST`.
    pub fn method(&self) -> &str {
        self.0.method().as_str()
    }

    /// Without the query.
    pub fn path(&self) -> &str {
        self.0.raw_http_path()
    }

    /// The header `Stripe-Signature`; one that is not text is as good as none that can be read.
    pub fn signature(&self) -> Option<&str> {
        self.0.headers().get("stripe-signature").map(|value| value.to_str().unwrap_or_default())
    }

    /// The body, to the byte.
    pub fn body(&self) -> &[u8] {
        self.0.body()
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
        if let Ok(Partner { source, detail: Some(event) }) = serde_json::from_str(payload.get())
            && source.starts_with("aws.partner/stripe.com/")
        {
            return Ok(Self::Partner(event.get().as_bytes()));
        }
        let request = lambda_http::request::from_str(payload.get()).map_err(|_| foreign())?;
        Ok(Self::Http(Box::new(HttpRequest(request))))
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
