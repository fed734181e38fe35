//! What the function is asked: `action` says which.

use recoup::invocation::Request;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::backup_restore::BackupRestoreRequest;
use crate::compare::CompareRequest;
use crate::discard::DiscardRequest;
use crate::point_in_time::PointInTimeRequest;
use crate::promote::PromoteRequest;
use crate::resume::ResumeRequest;
use crate::status::StatusRequest;
use crate::undo::UndoRequest;

/// What the function is asked.
#[derive(Debug)]
pub enum RestoreRequest {
    /// Rebuild a backup in a database of its own.
    BackupRestore(BackupRestoreRequest),
    /// Rebuild the state of an instant.
    PointInTime(PointInTimeRequest),
    /// Go on with a restore that is not complete.
    Resume(ResumeRequest),
    /// Tell how far a restore is.
    Status(StatusRequest),
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
            Some("point_in_time") => read(fields).map(Self::PointInTime),
            Some("resume") => read(fields).map(Self::Resume),
            Some("status") => read(fields).map(Self::Status),
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
    const ACCEPTS: &'static str = "action \"backup_restore\" with backup_id, a backup's name, \"latest\" for the newest full one or \
        \"latest-payments\" and so on, and optionally target_database, the name of a database that does not exist yet, \
        target_secret, a secret with the URL of another server, tables, a list of names, dry_run (default false), sanitize \
        (default false) with mask, which column is masked by which rule; \"point_in_time\" with target_time (RFC 3339, with \
        its zone, or \"latest\") or recovery_point, and optionally the same; \"resume\" or \"status\" with restore_id (a restore's \
        name; for status also \"latest\") and, where it was given, target_secret; \
        \"compare\" with target_database, the name of a copy, and optionally target_secret and tables; \"promote\" with mode \
        (\"swap\", \"merge_missing\" or \"overwrite\"), target_database, and optionally target_secret (not for swap), tables, \
        keys, triggers (\"fire\" or \"off\") and force (the copy's name); \"undo\", and optionally target_database; \"discard\" with target_database, and optionally \
        force; the last three change nothing without dry_run false, actor and reason";
    const EXAMPLE: &'static str = r#"{"action":"backup_restore","backup_id":"latest"}"#;
}

#[cfg(test)]
mod tests {
    use super::*;
    use recoup::failure::Failure;
    use recoup::invocation::parse;
    use serde_json::json;
    use time::OffsetDateTime;

    #[test]
    fn what_is_not_accepted_is_refused() {
        for payload in [
            json!({"action": "backup_restore"}),
            json!({"backup_id": "latest"}),
            json!({"action": "rename", "backup_id": "latest"}),
            json!({"action": 7, "backup_id": "latest"}),
            json!({"action": "backup_restore", "backup_id": "latest", "target": "x"}),
            json!({"action": "backup_restore", "backup_id": "latest", "tables": "public.orders"}),
            json!({"action": "backup_restore", "backup_id": "latest", "tables": []}),
            json!({"action": "backup_restore", "backup_id": "latest", "dry_run": "yes"}),
            json!({"action": "backup_restore", "backup_id": "latest", "mask": {"public.people.email": "email"}}),
            json!({"action": "point_in_time"}),
            json!({"action": "point_in_time", "target_time": "2026-11-21T09:30:00"}),
            json!({"action": "point_in_time", "target_time": "2026-11-21T09:30:00Z", "recovery_point": "x"}),
            json!({"action": "point_in_time", "target_time": "2026-11-21T09:30:00Z", "backup_id": "latest"}),
            json!({"action": "resume"}),
            json!({"action": "resume", "restore_id": "x", "backup_id": "latest"}),
            json!({"action": "status"}),
            json!({"action": "compare"}),
            json!({"action": "promote", "target_database": "x"}),
            json!({"action": "promote", "mode": "merge", "target_database": "x"}),
            json!({"action": "undo", "dry_run": "no"}),
            json!({"action": "discard", "target_database": "x", "forced": true}),
        ] {
            let failure = understood(payload.clone()).expect_err("refused");
            assert_eq!(failure.error_type(), "InvalidRequest", "{payload}");
        }
    }

    #[test]
    fn what_is_accepted_is() {
        for payload in [
            serde_json::from_str(RestoreRequest::EXAMPLE).expect("json"),
            json!({"action": "backup_restore", "backup_id": "latest", "tables": ["public.orders"], "dry_run": true}),
            json!({"action": "backup_restore", "backup_id": "latest", "sanitize": true, "mask": {"public.people.email": "email"}}),
            json!({"action": "backup_restore", "backup_id": "latest", "target_secret": "other", "target_database": null}),
            json!({"action": "point_in_time", "target_time": "2024-11-21T09:30:00+01:00", "tables": ["public.orders"]}),
            json!({"action": "point_in_time", "recovery_point": "before-release-12", "dry_run": true}),
            json!({"action": "resume", "restore_id": "20261121T032002Z-restore-66b57b4d"}),
            json!({"action": "status", "restore_id": "latest", "target_secret": "other"}),
            json!({"action": "point_in_time", "target_time": "latest"}),
            json!({"action": "compare", "target_database": "x", "target_secret": "other", "tables": ["public.orders"]}),
            json!({"action": "promote", "mode": "swap", "target_database": "x"}),
            json!({"action": "promote", "mode": "merge_missing", "target_database": "x", "target_secret": "other"}),
            json!({"action": "undo"}),
            json!({"action": "discard", "target_database": "x", "force": "x"}),
        ] {
            understood(payload).expect("accepted");
        }
    }

    fn understood(payload: Value) -> Result<(), Failure> {
        match parse::<RestoreRequest>(payload)? {
            RestoreRequest::BackupRestore(request) => request.masking().map(drop),
            RestoreRequest::PointInTime(request) => request.instant(OffsetDateTime::now_utc()).map(drop),
            RestoreRequest::Resume(_)
            | RestoreRequest::Status(_)
            | RestoreRequest::Compare(_)
            | RestoreRequest::Promote(_)
            | RestoreRequest::Undo(_)
            | RestoreRequest::Discard(_) => Ok(()),
        }
    }
}
