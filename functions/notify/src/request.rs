//! Who calls: the topic of alarms, Lambda after a run of `verify` that succeeded, or an operator who tries it.

use recoup::failure::Failure;
use recoup::invocation::Request;
use serde::Deserialize;
use serde_json::Value;

use crate::incident::{Alarm, Drill, Incident};

/// What it is asked.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum NotifyRequest {
    /// Messages of a topic (SNS Developer Guide, "Fanout to Lambda functions").
    Topic {
        /// One each.
        #[serde(rename = "Records")]
        records: Vec<Record>,
    },
    /// A run that succeeded (Lambda Developer Guide, "Capturing records of Lambda asynchronous invocations").
    #[serde(rename_all = "camelCase")]
    Succeeded {
        /// What the function was called with.
        request_payload: Value,
        /// What it answered.
        response_payload: Value,
        /// By whom.
        request_context: RunContext,
    },
    /// Of a person.
    Asked(Asked),
}

/// A message of a topic.
#[derive(Debug, Deserialize)]
pub struct Record {
    #[serde(rename = "Sns")]
    sns: Message,
}

#[derive(Debug, Deserialize)]
struct Message {
    #[serde(rename = "Message")]
    text: String,
}

/// Which run it was.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunContext {
    request_id: String,
    function_arn: String,
}

/// A request by hand.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    action: String,
}

impl Request for NotifyRequest {
    const ACCEPTS: &'static str = "action \"test\", alone, which says in the chat that it can be reached; the topic of alarms and Lambda's destinations send their own";
    const EXAMPLE: &'static str = r#"{"action":"test"}"#;
}

impl NotifyRequest {
    /// What is to be told.
    ///
    /// # Errors
    /// `InvalidRequest` for an action that there is not.
    pub(crate) fn incidents(self) -> Result<Vec<Incident>, Failure> {
        match self {
            Self::Topic { records } => {
                Ok(records.iter().filter_map(|record| alarm(&record.sns.text)).collect())
            }
            Self::Succeeded { request_payload, response_payload, request_context } => {
                if request_payload["action"] != "drill" {
                    return Ok(Vec::new());
                }
                let drill: Option<Drill> = serde_json::from_value(response_payload).ok();
                let RunContext { request_id, function_arn } = request_context;
                Ok(drill.map(|drill| drill.incident(&function_arn, &request_id)).into_iter().collect())
            }
            Self::Asked(Asked { action }) if action == "test" => Ok(vec![Incident::test()]),
            Self::Asked(Asked { action }) => {
                let (accepts, example) = (Self::ACCEPTS, Self::EXAMPLE);
                let reason = format!("there is no action {action:?}");
                Err(Failure::invalid_request(format!("{reason}. Accepted: {accepts}. Example: {example}")))
            }
        }
    }
}

/// What an alarm says, where it begins to ring. What is not an alarm may be anything, and is not passed on.
fn alarm(message: &str) -> Option<Incident> {
    match serde_json::from_str::<Alarm>(message) {
        Ok(alarm) => alarm.incident(),
        Err(error) => {
            tracing::warn!(line = error.line(), column = error.column(), "a message that is no alarm");
            None
        }
    }
}
