//! Requests to the webhook, as bytes over HTTP.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use stack::Stack;
use stack::stripe::{sign, signature_header};

/// A client.
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Http {
    /// With connections of its own.
    pub fn new() -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Sends a request; gives status and body.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body))).expect("a request");
        let response = self.client.request(request).await.expect("an answer");
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
        (status, serde_json::from_slice(&body).unwrap_or_else(|_| text()))
    }

    /// Posts a body to the webhook, signed now with its secret.
    pub async fn deliver(&self, stack: &Stack, body: &[u8]) -> (u16, Value) {
        let header = signature_header(&[&stack.webhook_secret], unix_now(), body);
        self.post(stack, Some(&header), body).await
    }

    /// Posts a body with whatever signature.
    pub async fn post(&self, stack: &Stack, signature: Option<&str>, body: &[u8]) -> (u16, Value) {
        let mut headers = vec![("content-type", "application/json; charset=utf-8")];
        headers.extend(signature.map(|value| ("stripe-signature", value)));
        self.send(Method::POST, &stack.webhook_url(), &headers, body).await
    }
}

/// A signature header for any secret and time.
pub fn header(secret: &str, timestamp: i64, body: &[u8]) -> String {
    format!("t={timestamp},v1={}", sign(secret, timestamp, body))
}

/// Seconds since 1970.
pub fn unix_now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_secs()).expect("in range")
}
