//! The Invoke API, for the AWS CLI and SDKs. (AWS Lambda API Reference, "Invoke".)

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::Response;
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::de::IgnoredAny;

use super::function::{Function, Outcome};
use super::{EVENT_PAYLOAD_BYTES_MAX, PAYLOAD_BYTES_MAX, request_id};
use crate::s3::REGION;

/// What a caller gets when all instances are busy.
pub(super) const THROTTLED: &str = concat!(
    r#"{"Reason":"ReservedFunctionConcurrentInvocationLimitExceeded","#,
    r#""Type":"User","message":"Rate Exceeded."}"#
);

type Functions = Arc<BTreeMap<String, Arc<Function>>>;

pub(super) fn router(functions: BTreeMap<String, Arc<Function>>) -> Router {
    Router::new()
        .route("/2015-03-31/functions/{name}/invocations", post(invoke))
        // Longer bodies are refused by us, in Lambda's words.
        .layer(DefaultBodyLimit::max(4 * PAYLOAD_BYTES_MAX))
        .with_state(Arc::new(functions))
}

async fn invoke(
    State(functions): State<Functions>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let name = function_name(&name);
    let Some(function) = functions.get(name) else {
        let message = format!("Function not found: arn:aws:lambda:{REGION}:000000000000:function:{name}");
        return refused(StatusCode::NOT_FOUND, "ResourceNotFoundException", &message);
    };
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let kind = header("x-amz-invocation-type").unwrap_or("RequestResponse");
    // Without a payload a function gets an empty object.
    let payload = if body.is_empty() { Bytes::from_static(b"{}") } else { body };
    let bytes_max = if kind == "Event" { EVENT_PAYLOAD_BYTES_MAX } else { PAYLOAD_BYTES_MAX };
    if payload.len() > bytes_max {
        let message = format!(
            "Request must be smaller than {bytes_max} bytes for the Invoke operation with type {kind}"
        );
        return refused(StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLargeException", &message);
    }
    if let Err(error) = serde_json::from_slice::<IgnoredAny>(&payload) {
        let message = format!("Could not parse request body into json: {error}");
        return refused(StatusCode::BAD_REQUEST, "InvalidRequestContentException", &message);
    }
    match kind {
        "RequestResponse" => {
            let tail = header("x-amz-log-type") == Some("Tail");
            invoke_and_wait(function, payload, tail).await
        }
        "Event" => {
            let id = function.invoke_event(payload);
            answer(StatusCode::ACCEPTED, &[("x-amzn-requestid", &id)], Bytes::new())
        }
        "DryRun" => answer(StatusCode::NO_CONTENT, &[("x-amzn-requestid", &request_id())], Bytes::new()),
        other => {
            let message = format!(
                "Value '{other}' at 'invocationType' failed to satisfy constraint: \
                 Member must satisfy enum value set: [Event, RequestResponse, DryRun]"
            );
            refused(StatusCode::BAD_REQUEST, "InvalidParameterValueException", &message)
        }
    }
}

async fn invoke_and_wait(function: &Arc<Function>, payload: Bytes, tail: bool) -> Response {
    let completed = function.invoke(payload, tail).await;
    let log = STANDARD.encode(&completed.log_tail);
    let mut headers =
        vec![("x-amzn-requestid", completed.request_id.as_str()), ("x-amz-executed-version", "$LATEST")];
    if tail {
        headers.push(("x-amz-log-result", log.as_str()));
    }
    match completed.outcome {
        Outcome::Answer(bytes) => answer(StatusCode::OK, &headers, bytes),
        Outcome::FunctionError(bytes) => {
            headers.push(("x-amz-function-error", "Unhandled"));
            answer(StatusCode::OK, &headers, bytes)
        }
        Outcome::Throttled => {
            let headers = [
                ("x-amzn-requestid", completed.request_id.as_str()),
                ("x-amzn-errortype", "TooManyRequestsException"),
            ];
            answer(StatusCode::TOO_MANY_REQUESTS, &headers, Bytes::from_static(THROTTLED.as_bytes()))
        }
    }
}

/// The name in `name`, `name:alias`, `account:function:name` and the ARNs.
fn function_name(given: &str) -> &str {
    match given.split_once("function:") {
        Some((_, rest)) => rest.split(':').next().unwrap_or(rest),
        None => given.split(':').next().unwrap_or(given),
    }
}

fn refused(status: StatusCode, error_type: &str, message: &str) -> Response {
    let body = serde_json::json!({"Type": "User", "message": message, "Message": message}).to_string();
    let id = request_id();
    answer(status, &[("x-amzn-requestid", &id), ("x-amzn-errortype", error_type)], Bytes::from(body))
}

fn answer(status: StatusCode, headers: &[(&str, &str)], body: Bytes) -> Response {
    let mut builder = Response::builder().status(status).header("content-type", "application/json");
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    // The headers are all ours and well formed.
    builder.body(Body::from(body)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::function_name;

    #[test]
    fn a_function_is_found_by_all_forms_of_its_name() {
        for form in [
            "backup",
            "backup:live",
            "000000000000:function:backup",
            "arn:aws:lambda:eu-central-1:000000000000:function:backup",
            "arn:aws:lambda:eu-central-1:000000000000:function:backup:$LATEST",
        ] {
            assert_eq!(function_name(form), "backup");
        }
    }
}
