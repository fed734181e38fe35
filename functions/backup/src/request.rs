//! What the function is asked, and what it understands of it.

use std::collections::BTreeMap;

use recoup::archive::kind::BackupKind;
use recoup::archive::selection::{Selection, Window};
use recoup::archive::summary::check_label;
use recoup::failure::Failure;
use recoup::invocation::Request;
use serde::Deserialize;
use time::OffsetDateTime;

/// What the function is asked.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupRequest {
    backup_type: Option<String>,
    label: Option<String>,
    tables: Option<Vec<String>>,
    date_from: Option<String>,
    date_to: Option<String>,
    created_columns: Option<BTreeMap<String, Option<String>>>,
    action: Option<String>,
}

impl Request for BackupRequest {
    const ACCEPTS: &'static str = "backup_type \"full\", \"payments\", \"orders\", \"tickets\", or \"tables\" with tables, a list of names; with any of them a label of up to 60 bytes, and for the rows of a window of time date_from, date_to (by default now) and created_columns, which column dates the rows of a table; or action \"list\" alone";
    const EXAMPLE: &'static str = r#"{"backup_type":"tables","tables":["public.orders"],"date_from":"2026-11-01T00:00:00Z","label":"before release 12"}"#;
}

/// What is to be done.
pub(crate) enum Wanted {
    /// A backup.
    Make { selection: Selection, label: Option<String> },
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
    match (request.action.as_deref(), request.backup_type.as_deref()) {
        (None, Some(kind)) => {
            if let Some(label) = &request.label {
                check_label(label)?;
            }
            let kind = kind.parse().map_err(refuse)?;
            let label = request.label.clone();
            Ok(Wanted::Make { selection: selection(kind, request).map_err(refuse)?, label })
        }
        (Some("list"), None) if request.is_an_action_alone() => Ok(Wanted::List),
        (Some("list"), _) => Err(refuse("action \"list\" takes no other field".to_owned())),
        (Some(other), _) => Err(refuse(format!("action {other:?} is not known"))),
        (None, None) => Err(refuse("neither backup_type nor action is given".to_owned())),
    }
}

impl BackupRequest {
    fn is_an_action_alone(&self) -> bool {
        let Self { backup_type: None, label: None, tables: None, date_from: None, date_to: None, .. } = self
        else {
            return false;
        };
        self.created_columns.is_none()
    }
}

/// Which part of the database is asked for.
fn selection(kind: BackupKind, request: BackupRequest) -> Result<Selection, String> {
    let tables = match (kind, request.tables) {
        (BackupKind::Tables, Some(tables)) if !tables.is_empty() => {
            tables.iter().map(|table| table.parse()).collect::<Result<_, _>>()?
        }
        (BackupKind::Tables, _) => {
            return Err("backup_type \"tables\" needs tables, a list of names".to_owned());
        }
        (_, Some(_)) => {
            return Err(format!("tables are named with backup_type \"tables\", not with {kind:?}"));
        }
        (_, None) => Vec::new(),
    };
    let window = match (&request.date_from, &request.date_to, &request.created_columns) {
        (None, None, None) => None,
        (None, _, _) => {
            return Err("date_to and created_columns need date_from, where the window begins".to_owned());
        }
        (Some(from), to, _) => {
            let columns = request.created_columns.unwrap_or_default();
            Some(Window::parse(from, to.as_deref(), columns, OffsetDateTime::now_utc())?)
        }
    };
    Ok(Selection { kind, tables, window })
}

#[cfg(test)]
mod tests {
    use super::*;
    use recoup::invocation::parse;
    use serde_json::json;

    #[test]
    fn what_is_not_accepted_is_refused_with_what_is() {
        for payload in [
            json!({"backup_type": "payment"}),
            json!({"backup_type": "tables"}),
            json!({"backup_type": "tables", "tables": []}),
            json!({"backup_type": "tables", "tables": "public.orders"}),
            json!({"backup_type": "tables", "tables": ["orders"]}),
            json!({"backup_type": "full", "tables": ["public.orders"]}),
            json!({"backup_type": "full", "date_to": "2026-11-01T00:00:00Z"}),
            json!({"backup_type": "full", "date_from": "2026-11-01"}),
            json!({"backup_type": "full", "date_from": 1_764_000_000}),
            json!({"backup_type": "full", "created_columns": {"public.orders": "placed_at"}}),
            json!({"action": "list", "date_from": "2026-11-01T00:00:00Z"}),
            json!({"action": "list", "created_columns": {}}),
            json!({"backup_type": "Full"}),
            json!({"action": "prune"}),
            json!({"action": "list", "backup_type": "full"}),
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
        for kind in ["full", "payments", "orders", "tickets"] {
            for more in [json!(null), json!("2026-11-01T00:00:00+01:00")] {
                let request = json!({"backup_type": kind, "label": null, "date_from": more});
                assert!(wanted(parse(request).expect("accepted")).is_ok());
            }
        }
    }
}
