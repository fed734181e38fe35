//! What the function is asked: `action` says which.

use recoup::invocation::Request;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::backup_restore::BackupRestoreRequest;
use crate::compare::CompareRequest;
use crate::discard::DiscardRequest;
use crate::promote::PromoteRequest;
use crate::undo::UndoRequest;

/// What the function is asked.
#[derive(Debug)]
pub enum RestoreRequest {
    /// Rebuild a backup in a database of its own.
    BackupRestore(BackupRestoreRequest),
    /// Compare a copy with production.
    Compare(CompareRequest),
    /// Have a copy go live.
    Promote(PromoteRequest),
    /// Undo a swap.
    Undo(UndoRequest),
    /// Drop a copy.
    Discard(DiscardRequest),
}

impl<'de> Deserialize<'de> for RestoreRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        fn read<T: serde::de::DeserializeOwned, E: Error>(fields: Map<String, Value>) -> Result<T, E> {
            T::deserialize(Value::Object(fields)).map_err(E::custom)
        }
        let mut fields = Map::deserialize(deserializer)?;
        let action = fields.remove("action").unwrap_or(Value::Null);
        match action.as_str() {
            Some("backup_restore") => read(fields).map(Self::BackupRestore),
            Some("compare") => read(fields).map(Self::Compare),
            Some("promote") => read(fields).map(Self::Promote),
            Some("undo") => read(fields).map(Self::Undo),
            Some("discard") => read(fields).map(Self::Discard),
            Some(other) => Err(D::Error::custom(format!("action {other:?} is not known"))),
            None if action.is_null() => Err(D::Error::custom("action is not given")),
            None => Err(D::Error::custom(format!("action {action} is not a text"))),
        }
    }
}

impl Request for RestoreRequest {
    const ACCEPTS: &'static str = "action \"backup_restore\", backup_id, a backup's name, \"latest\" for the newest full one or \"latest-payments\" and so on, and optionally target_database, the name of a database that does not exist yet; action \"compare\", target_database, the name of a copy, and optionally tables; action \"promote\", mode (\"swap\", \"merge_missing\" or \"overwrite\"), target_database, and optionally tables, keys, triggers (\"fire\" or \"off\") and force (the copy's name); action \"undo\", and optionally target_database; action \"discard\", target_database, and optionally force; the last three change nothing without dry_run false, actor and reason";
    const EXAMPLE: &'static str = r#"{"action":"backup_restore","backup_id":"latest"}"#;
}

#[cfg(test)]
mod tests {
    use super::*;
    use recoup::invocation::parse;
    use serde_json::json;

    #[test]
    fn what_is_not_accepted_is_refused() {
        for payload in [
            json!({"action": "backup_restore"}),
            json!({"backup_id": "latest"}),
            json!({"action": "rename", "backup_id": "latest"}),
            json!({"action": 7, "backup_id": "latest"}),
            json!({"action": "backup_restore", "backup_id": "latest", "target": "x"}),
            json!({"action": "compare"}),
            json!({"action": "promote", "target_database": "x"}),
            json!({"action": "promote", "mode": "merge", "target_database": "x"}),
            json!({"action": "undo", "dry_run": "no"}),
            json!({"action": "discard", "target_database": "x", "forced": true}),
        ] {
            let failure = parse::<RestoreRequest>(payload).expect_err("refused");
            assert_eq!(failure.error_type(), "InvalidRequest");
        }
        let example = serde_json::from_str(RestoreRequest::EXAMPLE).expect("json");
        assert!(parse::<RestoreRequest>(example).is_ok());
    }
}
