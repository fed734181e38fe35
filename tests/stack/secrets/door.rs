//! The door to Secrets Manager: proves that the caller's role allows the call, and hands it on.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::arn_pattern;
use crate::engine::serve;
use crate::error::Result;
use crate::iam::{Call, Denied, Iam, key_id};
use crate::store_gate::forward;

/// What a request passes.
#[derive(Clone)]
pub(super) struct Door {
    moto: String,
    http: Client<HttpConnector, Full<Bytes>>,
    iam: Iam,
}

impl Door {
    /// Opens one before the server at `moto`; gives its base URL.
    pub(super) fn before(handle: &Handle, moto: &str, iam: &Iam) -> Result<String> {
        let http = Client::builder(TokioExecutor::new()).build_http();
        let door = Door { moto: moto.to_owned(), http, iam: iam.clone() };
        let router = Router::new().fallback(move |request| pass(door.clone(), request));
        Ok(format!("http://{}", serve(handle, router, std::future::pending())?))
    }
}

async fn pass(door: Door, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = match axum::body::to_bytes(body, usize::MAX).await {
        Ok(body) => body,
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    let permitted = match call_of(&parts.headers, &body) {
        Some(call) => door.iam.permit(key_id(&parts.headers), &[call]),
        // moto's other services, which no function calls.
        None => Ok(()),
    };
    match permitted {
        Ok(()) => forward(&door.http, &door.moto, Request::from_parts(parts, Body::from(body))).await,
        Err(denied) => refused(&denied),
    }
}

/// What a request asks for: the operation in its header, the secret in its JSON (AWS JSON 1.1).
fn call_of(headers: &HeaderMap, body: &Bytes) -> Option<Call> {
    let target = headers.get("x-amz-target")?.to_str().ok()?;
    let operation = target.strip_prefix("secretsmanager.")?;
    let fields: Value = serde_json::from_slice(body).unwrap_or_default();
    let secret = fields["SecretId"].as_str().or(fields["Name"].as_str());
    let resource = match secret {
        Some(arn) if arn.starts_with("arn:") => arn.to_owned(),
        Some(id) => arn_pattern(id).replace('?', "x"),
        None => "*".to_owned(),
    };
    Some(Call { action: format!("secretsmanager:{operation}"), resource, prefix: None })
}

fn refused(denied: &Denied) -> Response {
    let body = json!({"__type": "AccessDeniedException", "Message": denied.to_string()});
    let headers = [(header::CONTENT_TYPE, "application/x-amz-json-1.1")];
    (StatusCode::BAD_REQUEST, headers, body.to_string()).into_response()
}
