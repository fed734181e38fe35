//! The door of the functions that operators and schedules invoke with a JSON payload.

use std::future::Future;

use lambda_runtime::{LambdaEvent, service_fn};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::failure::Failure;

/// A request that can say what it accepts. Types that implement it should refuse unknown fields, so that a
/// misspelt option is an error and not a silent default.
pub trait Request: DeserializeOwned {
    /// What is accepted, in one sentence.
    const ACCEPTS: &'static str;
    /// A payload that works as it stands.
    const EXAMPLE: &'static str;
}

/// What a function does with one request.
pub trait Operation {
    /// What it is asked.
    type Request: Request;
    /// What it answers: stable JSON.
    type Reply: Serialize;

    /// Carries out one request. `deadline` is when Lambda will end the invocation.
    fn run(
        &self,
        request: Self::Request,
        deadline: std::time::SystemTime,
    ) -> impl Future<Output = Result<Self::Reply, Failure>> + Send;
}

/// Reads a payload as a request.
///
/// # Errors
/// `InvalidRequest` with the reason, what is accepted and an example.
pub fn parse<R: Request>(payload: Value) -> Result<R, Failure> {
    let reason = match &payload {
        Value::Object(fields) if fields.is_empty() => "the payload is empty".to_owned(),
        Value::Object(_) => match serde_json::from_value(payload) {
            Ok(request) => return Ok(request),
            Err(error) => error.to_string(),
        },
        _ => "the payload is not a JSON object".to_owned(),
    };
    Err(Failure::invalid_request(format!("{reason}. Accepted: {}. Example: {}", R::ACCEPTS, R::EXAMPLE)))
}

/// Answers invocations until Lambda ends the process.
///
/// Where `operation` could not be set up (a missing variable, an unreadable secret), the process still
/// serves and answers every invocation with that failure, so that the person who invokes it reads the
/// reason in the reply and not in a log.
///
/// # Errors
/// What the Lambda runtime itself could not do.
pub async fn serve<O: Operation + Sync>(operation: Result<O, Failure>) -> Result<(), lambda_runtime::Error> {
    let operation = &operation;
    lambda_runtime::run(service_fn(async move |event: LambdaEvent<Value>| -> Result<O::Reply, Failure> {
        let request_id = event.context.request_id.clone();
        let answer = match operation {
            Ok(operation) => match parse(event.payload) {
                Ok(request) => operation.run(request, event.context.deadline()).await,
                Err(failure) => Err(failure),
            },
            Err(failure) => Err(Failure::new(failure.error_type(), failure.to_string())),
        };
        if let Err(failure) = &answer {
            tracing::error!(request_id, error_type = failure.error_type(), error = %failure, "invocation failed");
        }
        answer
    }))
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Greet {
        name: String,
    }

    impl Request for Greet {
        const ACCEPTS: &'static str = "name (text)";
        const EXAMPLE: &'static str = r#"{"name":"Ada"}"#;
    }

    #[test]
    fn a_wrong_payload_answers_with_what_is_accepted() {
        for payload in [json!({}), json!(null), json!({"nam": "x"}), json!({"name": 1}), json!("text")] {
            let failure = parse::<Greet>(payload).expect_err("refused");
            assert_eq!(failure.error_type(), "InvalidRequest");
            let message = failure.to_string();
            assert!(message.contains("name (text)") && message.contains(r#"{"name":"Ada"}"#), "{message}");
        }
        let accepted = parse::<Greet>(serde_json::from_str(Greet::EXAMPLE).expect("json")).expect("accepted");
        assert_eq!(accepted.name, "Ada");
    }
}
