//! An API Gateway HTTP API in front of one function: requests become events of payload format 2.0, the function's
//! answers become responses. (API Gateway Developer Guide, "Create AWS Lambda proxy integrations for HTTP APIs".)

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use time::macros::format_description;
use tokio::runtime::Handle;

use super::function::{Function, Outcome};
use super::{Lambda, PAYLOAD_BYTES_MAX, request_id};
use crate::engine::serve;
use crate::error::Result;

/// API Gateway's limit for a body.
pub const BODY_BYTES_MAX: usize = 10 * 1024 * 1024;
/// API Gateway's limit for an integration.
const INTEGRATION_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves a function over HTTP on a free loopback port; returns the base URL.
pub fn start(handle: &Handle, lambda: &Lambda, function: &str) -> Result<String> {
    let front = Arc::new(Front { function: lambda.function(function)?.clone() });
    let router = Router::new().fallback(answer).with_state(front);
    Ok(format!("http://{}", serve(handle, router, std::future::pending())?))
}

#[derive(Debug)]
struct Front {
    function: Arc<Function>,
}

async fn answer(State(front): State<Arc<Front>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_BYTES_MAX).await else {
        return message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
    };
    let Ok(event) = serde_json::to_vec(&event(&parts, &body)) else {
        return message(StatusCode::BAD_REQUEST, "Bad Request");
    };
    if event.len() > PAYLOAD_BYTES_MAX {
        return message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
    }
    let invocation = front.function.invoke(Bytes::from(event), false);
    match tokio::time::timeout(INTEGRATION_TIMEOUT, invocation).await.map(|completed| completed.outcome) {
        Ok(Outcome::Answer(bytes)) => response(&bytes),
        Ok(Outcome::FunctionError(_)) => message(StatusCode::BAD_GATEWAY, "Internal Server Error"),
        Ok(Outcome::Throttled) | Err(_) => message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
    }
}

fn message(status: StatusCode, text: &str) -> Response {
    let body = serde_json::json!({ "message": text }).to_string();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    version: &'static str,
    route_key: &'static str,
    raw_path: &'a str,
    raw_query_string: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cookies: Vec<String>,
    headers: BTreeMap<&'a str, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    query_string_parameters: BTreeMap<String, String>,
    request_context: RequestContext<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    is_base64_encoded: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext<'a> {
    account_id: &'static str,
    api_id: &'static str,
    domain_name: &'a str,
    domain_prefix: &'a str,
    http: HttpContext<'a>,
    request_id: String,
    route_key: &'static str,
    stage: &'static str,
    time: String,
    time_epoch: i64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct HttpContext<'a> {
    method: &'a str,
    path: &'a str,
    protocol: &'static str,
    source_ip: &'static str,
    user_agent: &'a str,
}

fn event<'a>(parts: &'a Parts, body: &Bytes) -> Event<'a> {
    let text = |name: HeaderName| parts.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let path = parts.uri.path();
    let query = parts.uri.query().unwrap_or_default();
    let domain_name = text(header::HOST);
    let (body, is_base64_encoded) = encode_body(text(header::CONTENT_TYPE), body);
    let now = OffsetDateTime::now_utc();
    let mut headers = joined_headers(&parts.headers);
    headers.insert("x-forwarded-for", "127.0.0.1".to_owned());
    headers.insert("x-forwarded-proto", "http".to_owned());
    Event {
        version: "2.0",
        route_key: "$default",
        raw_path: path,
        raw_query_string: query,
        cookies: cookies(&parts.headers),
        headers,
        query_string_parameters: query_parameters(query),
        request_context: RequestContext {
            account_id: "000000000000",
            api_id: "local",
            domain_name,
            domain_prefix: domain_name.split('.').next().unwrap_or_default(),
            http: HttpContext {
                method: parts.method.as_str(),
                path,
                protocol: "HTTP/1.1",
                source_ip: "127.0.0.1",
                user_agent: text(header::USER_AGENT),
            },
            request_id: request_id(),
            route_key: "$default",
            stage: "$default",
            time: clf_time(now),
            time_epoch: (now.unix_timestamp_nanos() / 1_000_000) as i64,
        },
        body,
        is_base64_encoded,
    }
}

/// Text stays text, everything else is base64. Text that is not UTF-8 could not be told in JSON: base64 keeps it to
/// the byte.
fn encode_body(content_type: &str, body: &Bytes) -> (Option<String>, bool) {
    if body.is_empty() {
        return (None, false);
    }
    match std::str::from_utf8(body) {
        Ok(text) if is_textual(content_type) => (Some(text.to_owned()), false),
        _ => (Some(STANDARD.encode(body)), true),
    }
}

fn is_textual(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.starts_with("text/")
        || matches!(kind.as_str(), "application/json" | "application/xml" | "application/javascript")
}

/// Lower case, repeated ones joined with commas; cookies have their own place.
fn joined_headers(headers: &HeaderMap) -> BTreeMap<&str, String> {
    let mut joined: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in headers {
        if name == header::COOKIE {
            continue;
        }
        let value = String::from_utf8_lossy(value.as_bytes());
        joined
            .entry(name.as_str())
            .and_modify(|all| {
                all.push(',');
                all.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    joined
}

fn cookies(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(';')).map(|cookie| cookie.trim().to_owned()).collect()
}

/// Decoded, repeated ones joined with commas.
fn query_parameters(query: &str) -> BTreeMap<String, String> {
    let mut parameters: BTreeMap<String, String> = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decode(value);
        parameters
            .entry(decode(name))
            .and_modify(|all| {
                all.push(',');
                all.push_str(&value);
            })
            .or_insert(value);
    }
    parameters
}

fn decode(text: &str) -> String {
    let text = text.replace('+', " ");
    percent_encoding::percent_decode_str(&text).decode_utf8_lossy().into_owned()
}

/// `21/Nov/2026:06:05:52 +0000`
fn clf_time(at: OffsetDateTime) -> String {
    let format = format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");
    at.format(format).unwrap_or_default()
}

/// What a function may answer in format 2.0.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct GatewayResponse {
    status_code: u16,
    #[serde(default)]
    headers: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    multi_value_headers: Option<BTreeMap<String, Vec<Value>>>,
    #[serde(default)]
    cookies: Option<Vec<String>>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

fn response(answer: &[u8]) -> Response {
    match serde_json::from_slice::<GatewayResponse>(answer) {
        Ok(answer) => gateway_response(answer)
            .unwrap_or_else(|| message(StatusCode::BAD_GATEWAY, "Internal Server Error")),
        // API Gateway takes any other valid JSON for the body of a 200.
        Err(_) if serde_json::from_slice::<serde::de::IgnoredAny>(answer).is_ok() => {
            (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], answer.to_vec()).into_response()
        }
        Err(_) => message(StatusCode::BAD_GATEWAY, "Internal Server Error"),
    }
}

fn gateway_response(answer: GatewayResponse) -> Option<Response> {
    let text = answer.body.unwrap_or_default();
    let body =
        if answer.is_base64_encoded { STANDARD.decode(text.as_bytes()).ok()? } else { text.into_bytes() };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(answer.status_code).ok()?;
    let headers = response.headers_mut();
    for (name, value) in answer.headers.unwrap_or_default() {
        headers.insert(HeaderName::try_from(name).ok()?, header_value(&value)?);
    }
    for (name, values) in answer.multi_value_headers.unwrap_or_default() {
        let name = HeaderName::try_from(name).ok()?;
        if !headers.contains_key(&name) {
            for value in values {
                headers.append(name.clone(), header_value(&value)?);
            }
        }
    }
    for cookie in answer.cookies.unwrap_or_default() {
        headers.append(header::SET_COOKIE, HeaderValue::try_from(cookie).ok()?);
    }
    Some(response)
}

/// Functions write numbers and booleans here, too.
fn header_value(value: &Value) -> Option<HeaderValue> {
    match value {
        Value::String(text) => HeaderValue::try_from(text).ok(),
        other => HeaderValue::try_from(other.to_string()).ok(),
    }
}
