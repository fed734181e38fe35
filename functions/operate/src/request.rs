//! What the function is asked: `action` says which.

use recoup::invocation::Request;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::erase_customer::EraseCustomerRequest;
use crate::recovery_points::{CreateRecoveryPointRequest, DropRecoveryPointRequest};
use crate::replay_erasures::ReplayErasuresRequest;

/// What the function is asked.
#[derive(Debug)]
pub enum OperateRequest {
    /// Take from the rows who a person is.
    EraseCustomer(EraseCustomerRequest),
    /// Erase once more whoever was erased.
    ReplayErasures(ReplayErasuresRequest),
    /// Keep an instant restorable.
    CreateRecoveryPoint(CreateRecoveryPointRequest),
    /// Let an instant go.
    DropRecoveryPoint(DropRecoveryPointRequest),
}

impl<'de> Deserialize<'de> for OperateRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Map::deserialize(deserializer)?;
        let action = fields.remove("action").unwrap_or(Value::Null);
        match action.as_str() {
            Some("erase_customer") => read(fields).map(Self::EraseCustomer),
            Some("replay_erasures") => read(fields).map(Self::ReplayErasures),
            Some("create_recovery_point") => read(fields).map(Self::CreateRecoveryPoint),
            Some("drop_recovery_point") => read(fields).map(Self::DropRecoveryPoint),
            Some(other) => Err(D::Error::custom(format!("action {other:?} is not known"))),
            None if action.is_null() => Err(D::Error::custom("action is not given")),
            None => Err(D::Error::custom("action is not a text")),
        }
    }
}

/// Errors name fields and never show a value: it may be what tells who somebody is, and errors are logged.
fn read<T: DeserializeOwned, E: Error>(fields: Map<String, Value>) -> Result<T, E> {
    T::deserialize(Value::Object(fields)).map_err(|error| {
        let said = error.to_string();
        let names_a_field = said.starts_with("unknown field") || said.starts_with("missing field");
        E::custom(if names_a_field {
            said
        } else {
            "a field has a value of another type than it takes".to_owned()
        })
    })
}

impl Request for OperateRequest {
    const ACCEPTS: &'static str = "action \"erase_customer\" with customer (cus_… or guest_…) or email, and optionally \
        application_rows, a list of {\"table\",\"key\",\"set\"}; \"replay_erasures\"; \"create_recovery_point\" with name, and \
        optionally description and at (RFC 3339, with its zone); \"drop_recovery_point\" with name; all change nothing \
        without dry_run false, actor and reason";
    const EXAMPLE: &'static str = r#"{"action":"erase_customer","customer":"cus_1"}"#;
}

#[cfg(test)]
mod tests {
    use super::*;
    use recoup::invocation::parse;
    use serde_json::json;

    #[test]
    fn what_is_not_accepted_is_refused_without_a_value_of_it() {
        for payload in [
            json!({"action": "erase"}),
            json!({"action": 7}),
            json!({"email": "ada@example.com"}),
            json!({"action": "erase_customer"}),
            json!({"action": "erase_customer", "email": " "}),
            json!({"action": "erase_customer", "email": "ada@example.com", "customer": "cus_1"}),
            json!({"action": "erase_customer", "email": ["ada@example.com"]}),
            json!({"action": "erase_customer", "customer": "cus_1", "dry_run": "ada@example.com"}),
            json!({"action": "erase_customer", "customer": "cus_1", "application_rows": "ada@example.com"}),
            json!({"action": "erase_customer", "customer": "cus_1", "application_rows": [{"table": "public.people", "key": {"id": 1}}]}),
            json!({"action": "erase_customer", "customer": "cus_1", "application_rows": [
                {"table": "public.people", "key": {}, "set": {"email": null}}]}),
            json!({"action": "erase_customer", "customer": "cus_1", "application_rows": [
                {"table": "public.people", "key": {"id": 1}, "set": {}}]}),
            json!({"action": "erase_customer", "customer": "cus_1", "application_rows": [
                {"table": "people", "key": {"id": 1}, "set": {"email": null}}]}),
            json!({"action": "erase_customer", "customer": "cus_1", "dry_run": false}),
            json!({"action": "replay_erasures", "dry_run": false, "actor": "ada"}),
            json!({"action": "replay_erasures", "customer": "cus_1"}),
            json!({"action": "create_recovery_point"}),
            json!({"action": "create_recovery_point", "name": "before release"}),
            json!({"action": "create_recovery_point", "name": "-x"}),
            json!({"action": "create_recovery_point", "name": "x", "at": "2026-11-21T09:30:00"}),
            json!({"action": "create_recovery_point", "name": "x", "dry_run": false, "actor": "ada"}),
            json!({"action": "drop_recovery_point", "name": "x", "dry_run": false}),
        ] {
            let failure = understood(payload.clone()).expect_err("refused");
            assert_eq!(failure.error_type(), "InvalidRequest", "{payload}");
            assert!(!failure.to_string().contains("ada@"), "{failure}");
        }
    }

    #[test]
    fn what_is_accepted_is() {
        for payload in [
            serde_json::from_str(OperateRequest::EXAMPLE).expect("json"),
            json!({"action": "erase_customer", "email": "ada@example.com", "dry_run": false, "actor": "bob", "reason": "art. 17"}),
            json!({"action": "erase_customer", "customer": "guest_1", "application_rows": [
                {"table": "public.\"People\"", "key": {"id": 1}, "set": {"email": null, "name": "gone"}}]}),
            json!({"action": "create_recovery_point", "name": "before-release-12", "at": "2026-11-21T10:30:00+01:00"}),
            json!({"action": "drop_recovery_point", "name": "before-release-12"}),
            json!({"action": "replay_erasures"}),
            json!({"action": "replay_erasures", "dry_run": false, "actor": "schedule", "reason": "daily"}),
        ] {
            understood(payload).expect("accepted");
        }
    }

    fn understood(payload: Value) -> Result<(), recoup::failure::Failure> {
        match parse::<OperateRequest>(payload)? {
            OperateRequest::EraseCustomer(request) => request.understood().map(drop),
            OperateRequest::ReplayErasures(request) => request.understood().map(drop),
            OperateRequest::CreateRecoveryPoint(request) => request.understood().map(drop),
            OperateRequest::DropRecoveryPoint(request) => request.understood().map(drop),
        }
    }
}
