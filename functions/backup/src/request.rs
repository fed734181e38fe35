//! What the function is asked, and what it understands of it.

use recoup::archive::format::TableFormat;
use recoup::archive::summary::check_label;
use recoup::failure::Failure;
use recoup::invocation::Request;
use serde::Deserialize;

/// What the function is asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupRequest {
    backup_type: Option<String>,
    label: Option<String>,
    format: Option<TableFormat>,
    action: Option<String>,
}

impl Request for BackupRequest {
    const ACCEPTS: &'static str = "backup_type \"full\", optionally with a label of up to 60 bytes and format \"copy\" (the default), \"csv\" or \"json\"; or action \"list\" alone; other kinds of backup are not in this version";
    const EXAMPLE: &'static str = r#"{"backup_type":"full","label":"before release 12"}"#;
}

/// What is to be done.
pub(crate) enum Wanted {
    /// A full backup.
    Full { label: Option<String>, format: TableFormat },
    /// The backups that the bucket has.
    List,
}

/// Understands a request.
///
/// # Errors
/// `InvalidRequest`, with what is accepted and an example.
pub(crate) fn wanted(request: BackupRequest) -> Result<Wanted, Failure> {
    let refuse = |reason: String| {
        let (accepts, example) = (BackupRequest::ACCEPTS, BackupRequest::EXAMPLE);
        Failure::invalid_request(format!("{reason}. Accepted: {accepts}. Example: {example}"))
    };
    let BackupRequest { backup_type, label, format, action } = request;
    match (action.as_deref(), backup_type.as_deref()) {
        (None, Some("full")) => {
            if let Some(label) = &label {
                check_label(label)?;
            }
            Ok(Wanted::Full { label, format: format.unwrap_or_default() })
        }
        (Some("list"), None) if label.is_none() && format.is_none() => Ok(Wanted::List),
        (Some("list"), _) => Err(refuse("action \"list\" takes no other field".to_owned())),
        (Some(other), _) => Err(refuse(format!("action {other:?} is not known"))),
        (None, Some(other)) => Err(refuse(format!("backup_type {other:?} is not known"))),
        (None, None) => Err(refuse("neither backup_type nor action is given".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use recoup::invocation::parse;
    use serde_json::json;

    #[test]
    fn what_is_not_accepted_is_refused_with_what_is() {
        for payload in [
            json!({"backup_type": "payments"}),
            json!({"backup_type": "Full"}),
            json!({"action": "prune"}),
            json!({"action": "list", "backup_type": "full"}),
            json!({"action": "list", "format": "csv"}),
            json!({"backup_type": "full", "format": "xml"}),
            json!({"label": "x"}),
            json!({"backup_type": "full", "label": ""}),
            json!({"backup_type": "full", "labl": "x"}),
            json!({}),
        ] {
            let failure = match parse::<BackupRequest>(payload.clone()).map(wanted) {
                Err(failure) | Ok(Err(failure)) => failure,
                Ok(Ok(_)) => panic!("{payload} was accepted"),
            };
            assert_eq!(failure.error_type(), "InvalidRequest", "{payload}");
        }
        let example = serde_json::from_str(BackupRequest::EXAMPLE).expect("json");
        assert!(wanted(parse(example).expect("accepted")).is_ok());
        assert!(wanted(parse(json!({"action": "list"})).expect("accepted")).is_ok());
        assert!(wanted(parse(json!({"backup_type": "full", "label": null})).expect("accepted")).is_ok());
        assert!(wanted(parse(json!({"backup_type": "full", "format": "json"})).expect("accepted")).is_ok());
    }
}
