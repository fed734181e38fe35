//! What the function is asked: by Secrets Manager, which names a step, or by an operator or a schedule, who names an
//! action.

use recoup::invocation::Request;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::kind::Kind;

/// What the function is asked.
#[derive(Debug)]
pub enum RotateRequest {
    /// One of Secrets Manager's four steps.
    Step(StepRequest),
    /// All four, one after another.
    Rotate(OfSecret),
    /// Take back a rotation that is not finished.
    Abandon(OfSecret),
    /// End what overlaps and is due, and finish what was left.
    FinishOverlap(FinishOverlap),
    /// Tell how each secret stands.
    Status,
}

/// A step as Secrets Manager asks for it. It may add fields of its own, so that unknown ones are let through.
#[derive(Debug, Deserialize)]
pub struct StepRequest {
    /// Which.
    #[serde(rename = "Step")]
    pub step: Step,
    /// The secret's full name, or its name.
    #[serde(rename = "SecretId")]
    pub secret_id: String,
    /// The version that is to become the secret's.
    #[serde(rename = "ClientRequestToken")]
    pub token: String,
}

/// The four steps, in their order (AWS Secrets Manager User Guide, "Lambda rotation functions").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Step {
    /// Prepare the new value.
    #[serde(rename = "createSecret")]
    Create,
    /// Have the other side accept it.
    #[serde(rename = "setSecret")]
    Set,
    /// Prove it.
    #[serde(rename = "testSecret")]
    Test,
    /// Make it the current one.
    #[serde(rename = "finishSecret")]
    Finish,
}

impl Step {
    /// All, in their order.
    pub const ALL: [Self; 4] = [Self::Create, Self::Set, Self::Test, Self::Finish];

    /// As Secrets Manager calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "createSecret",
            Self::Set => "setSecret",
            Self::Test => "testSecret",
            Self::Finish => "finishSecret",
        }
    }
}

/// An action that is about one secret.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfSecret {
    /// By its kind.
    pub secret: Kind,
}

/// What is asked of `finish_overlap`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinishOverlap {
    /// How long the old endpoint stays beside the new one; default: as configured. 0 after a leak.
    pub overlap_hours: Option<u16>,
}

/// An action without further fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Alone {}

impl<'de> Deserialize<'de> for RotateRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        fn read<T: serde::de::DeserializeOwned, E: Error>(fields: Map<String, Value>) -> Result<T, E> {
            T::deserialize(Value::Object(fields)).map_err(E::custom)
        }
        let mut fields = Map::deserialize(deserializer)?;
        match fields.remove("action") {
            None if fields.contains_key("Step") => read(fields).map(Self::Step),
            None => Err(D::Error::custom("neither action nor Step is given")),
            Some(Value::String(action)) => match action.as_str() {
                "rotate" => read(fields).map(Self::Rotate),
                "abandon" => read(fields).map(Self::Abandon),
                "finish_overlap" => read(fields).map(Self::FinishOverlap),
                "status" => read(fields).map(|Alone {}| Self::Status),
                other => Err(D::Error::custom(format!("action {other:?} is not known"))),
            },
            Some(_) => Err(D::Error::custom("action is not a text")),
        }
    }
}

impl Request for RotateRequest {
    const ACCEPTS: &'static str = "action \"rotate\" or \"abandon\" with secret (\"database\", \"stripe_webhook\", \"backup_key\" or \
        \"stripe_api_key\"); action \"finish_overlap\" with an optional overlap_hours (how long an old endpoint of Stripe's stays \
        beside the new one); action \"status\", alone; or, from Secrets Manager, Step (\"createSecret\", \"setSecret\", \
        \"testSecret\" or \"finishSecret\") with SecretId and ClientRequestToken";
    const EXAMPLE: &'static str = r#"{"action":"rotate","secret":"stripe_webhook"}"#;
}

#[cfg(test)]
mod tests {
    use recoup::invocation::parse;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_secrets_manager_sends_is_understood() {
        let event = json!({"Step": "setSecret", "SecretId": "arn:aws:secretsmanager:eu-central-1:1:secret:db-AbCdEf",
            "ClientRequestToken": "t", "RotationToken": "of its own"});
        match parse::<RotateRequest>(event) {
            Ok(RotateRequest::Step(request)) => {
                assert_eq!((request.step.as_str(), request.token.as_str()), ("setSecret", "t"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_example_works_and_anything_else_is_answered_with_it() {
        let example = serde_json::from_str(RotateRequest::EXAMPLE).expect("JSON");
        assert!(matches!(
            parse(example),
            Ok(RotateRequest::Rotate(OfSecret { secret: Kind::StripeWebhook }))
        ));
        for wrong in [
            json!({}),
            json!(null),
            json!({"secret": "database"}),
            json!({"action": 7}),
            json!({"action": "rotate"}),
            json!({"action": "rotate", "secret": "password"}),
            json!({"action": "rotate", "secret": "database", "dry_run": true}),
            json!({"action": "status", "secret": "database"}),
            json!({"action": "finish_overlap", "overlap_hours": -1}),
            json!({"Step": "createSecret"}),
            json!({"Step": "dropSecret", "SecretId": "a", "ClientRequestToken": "t"}),
            json!({"step": "createSecret", "SecretId": "a", "ClientRequestToken": "t"}),
        ] {
            let failure = parse::<RotateRequest>(wrong.clone()).expect_err("refused");
            assert_eq!(failure.error_type(), "InvalidRequest", "{wrong}");
            assert!(failure.to_string().contains(RotateRequest::EXAMPLE), "{failure}");
        }
    }
}
