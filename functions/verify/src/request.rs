//! What the function is asked, and what it understands of it.

use recoup::failure::Failure;
use recoup::invocation::Request;
use serde::Deserialize;

/// How old what several events make must be before `database` judges it, where the request says nothing.
const SETTLE_MINUTES: u32 = 60;

/// What the function is asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyRequest {
    action: String,
    backup_id: Option<String>,
    settle_minutes: Option<u32>,
}

impl Request for VerifyRequest {
    const ACCEPTS: &'static str = "action \"full\" (every byte of a backup), \"quick\" (its manifest, listing and the store's checksums) or \"drill\" (restore it, prove it, drop the copy), each with an optional backup_id, a backup's name, \"latest\" for the newest full one or \"latest-payments\" and so on; action \"changes\" (every byte of the exported changes, and that none is missing in between), alone; action \"database\" (the rows), with an optional settle_minutes (what is younger is not judged, 60); action \"schema\" (the tables against the migrations) or \"health\" (all of it at a glance), alone";
    const EXAMPLE: &'static str = r#"{"action":"full","backup_id":"latest"}"#;
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A check that is recorded.
    Check(Check),
    /// How everything stands.
    Health,
}

/// A check.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// Of a backup.
    Backup { depth: Depth, backup_id: Option<String> },
    /// Of the exported changes.
    Changes,
    /// Of the rows.
    Database { settle_minutes: u32 },
    /// Of the tables.
    Schema,
}

/// How thoroughly a backup is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Manifest, listing, sizes, the store's checksums.
    Quick,
    /// Every byte.
    Full,
    /// A restore.
    Drill,
}

impl Check {
    /// The action's name.
    pub(crate) fn action(&self) -> &'static str {
        match self {
            Self::Backup { depth: Depth::Quick, .. } => "quick",
            Self::Backup { depth: Depth::Full, .. } => "full",
            Self::Backup { depth: Depth::Drill, .. } => "drill",
            Self::Changes => "changes",
            Self::Database { .. } => "database",
            Self::Schema => "schema",
        }
    }
}

/// Understands a request.
///
/// # Errors
/// `InvalidRequest`, with what is accepted and an example.
pub(crate) fn wanted(request: VerifyRequest) -> Result<Wanted, Failure> {
    let VerifyRequest { action, backup_id, settle_minutes } = request;
    let refuse = |reason: String| {
        let (accepts, example) = (VerifyRequest::ACCEPTS, VerifyRequest::EXAMPLE);
        Failure::invalid_request(format!("{reason}. Accepted: {accepts}. Example: {example}"))
    };
    let depth = match action.as_str() {
        "quick" => Some(Depth::Quick),
        "full" => Some(Depth::Full),
        "drill" => Some(Depth::Drill),
        "changes" | "database" | "schema" | "health" => None,
        other => return Err(refuse(format!("action {other:?} is not known"))),
    };
    if backup_id.is_some() && depth.is_none() {
        return Err(refuse(format!("action {action:?} takes no backup_id")));
    }
    if settle_minutes.is_some() && action != "database" {
        return Err(refuse(format!("action {action:?} takes no settle_minutes")));
    }
    Ok(match (action.as_str(), depth) {
        (_, Some(depth)) => Wanted::Check(Check::Backup { depth, backup_id }),
        ("database", None) => {
            Wanted::Check(Check::Database { settle_minutes: settle_minutes.unwrap_or(SETTLE_MINUTES) })
        }
        ("changes", None) => Wanted::Check(Check::Changes),
        ("schema", None) => Wanted::Check(Check::Schema),
        _ => Wanted::Health,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use recoup::invocation::parse;
    use serde_json::json;

    #[test]
    fn what_is_not_accepted_is_refused_with_what_is() {
        for payload in [
            json!({"backup_id": "latest"}),
            json!({"action": "everything"}),
            json!({"action": "Full"}),
            json!({"action": "full", "backup_id": "latest", "deep": true}),
            json!({"action": "full", "settle_minutes": 5}),
            json!({"action": "schema", "backup_id": "latest"}),
            json!({"action": "health", "settle_minutes": 0}),
            json!({"action": "database", "settle_minutes": -1}),
            json!({"action": "database", "backup_id": "latest"}),
            json!({"action": "changes", "backup_id": "latest"}),
        ] {
            let failure = match parse::<VerifyRequest>(payload.clone()).map(wanted) {
                Err(failure) | Ok(Err(failure)) => failure,
                Ok(Ok(_)) => panic!("{payload} was accepted"),
            };
            assert_eq!(failure.error_type(), "InvalidRequest", "{payload}");
            let message = failure.to_string();
            assert!(message.contains("drill") && message.contains(VerifyRequest::EXAMPLE), "{message}");
        }
    }

    #[test]
    fn what_is_accepted_has_its_defaults() {
        let wanted = |payload| wanted(parse(payload).expect("a request")).expect("accepted");
        let example = serde_json::from_str(VerifyRequest::EXAMPLE).expect("json");
        let backup_id = Some("latest".to_owned());
        assert_eq!(wanted(example), Wanted::Check(Check::Backup { depth: Depth::Full, backup_id }));
        let drill = Wanted::Check(Check::Backup { depth: Depth::Drill, backup_id: None });
        assert_eq!(wanted(json!({"action": "drill"})), drill);
        let database = Wanted::Check(Check::Database { settle_minutes: 60 });
        assert_eq!(wanted(json!({"action": "database"})), database);
        assert_eq!(wanted(json!({"action": "changes"})), Wanted::Check(Check::Changes));
        assert_eq!(wanted(json!({"action": "health"})), Wanted::Health);
    }
}
