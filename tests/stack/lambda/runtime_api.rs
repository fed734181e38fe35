//! The Runtime API of one instance: what the function's process polls and answers.
//! (AWS Lambda Developer Guide, "Using the Lambda runtime API for custom runtimes".)

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http::StatusCode;
use tokio::sync::{mpsc, oneshot};

use super::PAYLOAD_BYTES_MAX;

/// One invocation on its way to an instance.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) request_id: String,
    pub(super) payload: Bytes,
    pub(super) function_arn: String,
    pub(super) timeout: Duration,
    /// Told when the process has taken the invocation: its time limit starts then.
    pub(super) taken: oneshot::Sender<()>,
    /// Told what the function answered.
    pub(super) answered: oneshot::Sender<Answer>,
}

/// What the function posted.
#[derive(Debug)]
pub(super) enum Answer {
    Response(Bytes),
    Error(Bytes),
}

/// State of one instance's Runtime API.
#[derive(Debug)]
pub(super) struct RuntimeApi {
    work: tokio::sync::Mutex<mpsc::Receiver<Work>>,
    /// Request id and waiter of the invocation that the process is in.
    current: Mutex<Option<(String, oneshot::Sender<Answer>)>>,
    init_error: Mutex<Option<Bytes>>,
}

impl RuntimeApi {
    pub(super) fn new(work: mpsc::Receiver<Work>) -> Arc<RuntimeApi> {
        Arc::new(RuntimeApi {
            work: tokio::sync::Mutex::new(work),
            current: Mutex::default(),
            init_error: Mutex::default(),
        })
    }

    pub(super) fn router(self: &Arc<RuntimeApi>) -> Router {
        Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{request_id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{request_id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(init_error))
            .layer(DefaultBodyLimit::max(4 * PAYLOAD_BYTES_MAX))
            .with_state(self.clone())
    }

    /// What the process said before it ended without having started, as JSON.
    pub(super) fn take_init_error(&self) -> Option<Bytes> {
        self.init_error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Passes an answer on, if it is for the invocation that the process is in.
    fn answer(&self, request_id: &str, answer: Answer) -> Response {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match current.take() {
            Some((expected, waiter)) if expected == request_id => {
                // Nobody waits any more after a time-out.
                let _ = waiter.send(answer);
                accepted()
            }
            other => {
                *current = other;
                refused(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID")
            }
        }
    }
}

async fn next(State(api): State<Arc<RuntimeApi>>) -> Response {
    let Some(work) = api.work.lock().await.recv().await else {
        return refused(StatusCode::INTERNAL_SERVER_ERROR, "Shutdown", "the stack is ending");
    };
    let deadline = SystemTime::now() + work.timeout;
    let deadline_ms = deadline.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    *api.current.lock().unwrap_or_else(PoisonError::into_inner) =
        Some((work.request_id.clone(), work.answered));
    let _ = work.taken.send(());
    let trace: u128 = rand::random();
    Response::builder()
        .header("content-type", "application/json")
        .header("lambda-runtime-aws-request-id", work.request_id)
        .header("lambda-runtime-deadline-ms", deadline_ms.to_string())
        .header("lambda-runtime-invoked-function-arn", work.function_arn)
        .header("lambda-runtime-trace-id", trace_id(deadline_ms - work.timeout.as_millis(), trace))
        .body(Body::from(work.payload))
        .unwrap_or_else(|error| {
            refused(StatusCode::INTERNAL_SERVER_ERROR, "InvalidHeader", &error.to_string())
        })
}

async fn response(
    State(api): State<Arc<RuntimeApi>>,
    Path(request_id): Path<String>,
    body: Bytes,
) -> Response {
    if body.len() <= PAYLOAD_BYTES_MAX {
        return api.answer(&request_id, Answer::Response(body));
    }
    let message = format!(
        "Response payload size ({} bytes) exceeded maximum allowed payload size ({PAYLOAD_BYTES_MAX} bytes).",
        body.len()
    );
    let error = serde_json::json!({"errorType": "Function.ResponseSizeTooLarge", "errorMessage": message});
    api.answer(&request_id, Answer::Error(Bytes::from(error.to_string())));
    refused(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &message)
}

async fn error(State(api): State<Arc<RuntimeApi>>, Path(request_id): Path<String>, body: Bytes) -> Response {
    api.answer(&request_id, Answer::Error(body))
}

async fn init_error(State(api): State<Arc<RuntimeApi>>, body: Bytes) -> Response {
    *api.init_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
    accepted()
}

fn accepted() -> Response {
    (StatusCode::ACCEPTED, [("content-type", "application/json")], r#"{"status":"OK"}"#).into_response()
}

fn refused(status: StatusCode, error_type: &str, message: &str) -> Response {
    let body = serde_json::json!({"errorType": error_type, "errorMessage": message}).to_string();
    (status, [("content-type", "application/json")], body).into_response()
}

/// An X-Ray trace header: seconds, then 96 random bits; not sampled.
fn trace_id(now_ms: u128, random: u128) -> String {
    let seconds = now_ms / 1000;
    format!("Root=1-{seconds:08x}-{:024x};Parent={:016x};Sampled=0", random >> 32, random as u64)
}
