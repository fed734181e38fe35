//! Answers, as stable JSON.

use lambda_http::http::StatusCode;
use lambda_http::http::header::CONTENT_TYPE;
use lambda_http::{Body, Response};
use recoup::events::receive::{Outcome, Receipt};
use serde::Serialize;
use serde_json::json;

/// An answer with a JSON body.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    let text = serde_json::to_string(body).expect("replies are plain structures");
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from(text))
        .expect("the headers are constants")
}

/// A refusal.
pub fn error(status: StatusCode, error_type: &str, message: &str) -> Response<Body> {
    json(status, &json!({ "error": { "type": error_type, "message": message } }))
}

/// What Stripe's dashboard shows of a delivery: that the event is kept, and what became of it.
pub fn received(receipt: &Receipt) -> Response<Body> {
    let outcome = match receipt.outcome {
        Outcome::Applied => "applied",
        Outcome::Duplicate => "duplicate",
        Outcome::Ignored(_) => "ignored",
        Outcome::Failed(_) => "failed",
        Outcome::Dead(_) => "dead",
    };
    json(StatusCode::OK, &json!({ "received": true, "event": receipt.event_id, "outcome": outcome }))
}
