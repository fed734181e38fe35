//! What the function is asked, and what it understands of it.

use std::collections::BTreeMap;

use recoup::archive::format::TableFormat;
use recoup::archive::kind::BackupKind;
use recoup::archive::selection::{Selection, Window};
use recoup::archive::summary::check_label;
use recoup::failure::Failure;
use recoup::invocation::Request;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::changes::{CaptureRequest, ChangesRequest};
use crate::prune::PruneRequest;
use crate::rebuild::RebuildRequest;
use crate::status::StatusRequest;

/// What the function is asked: `action` says which of these, and without one a backup is to be made.
#[derive(Debug)]
pub enum BackupRequest {
    /// Make a backup.
    Make(MakeRequest),
    /// Export what changed.
    Changes(ChangesRequest),
    /// Capture the changes of tables.
    Capture(CaptureRequest),
    /// Capture them no more.
    Release(CaptureRequest),
    /// List what the bucket has.
    List,
    /// Remove what has expired.
    Prune(PruneRequest),
    /// Fill `recoup.backups` again.
    Rebuild(RebuildRequest),
    /// Tell how a backup stands.
    Status(StatusRequest),
}

/// A backup that is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MakeRequest {
    backup_type: Option<String>,
    label: Option<String>,
    tables: Option<Vec<String>>,
    date_from: Option<String>,
    date_to: Option<String>,
    created_columns: Option<BTreeMap<String, Option<String>>>,
    #[serde(default)]
    format: TableFormat,
    #[serde(default, deserialize_with = "instant")]
    scheduled_at: Option<OffsetDateTime>,
}

/// The `backup_type` that is no copy of rows, but of what became of them.
const CHANGES: &str = "changes";

/// An action without further fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Alone {}

impl<'de> Deserialize<'de> for BackupRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        fn read<T: serde::de::DeserializeOwned, E: Error>(fields: Map<String, Value>) -> Result<T, E> {
            T::deserialize(Value::Object(fields)).map_err(E::custom)
        }
        let mut fields = Map::deserialize(deserializer)?;
        match fields.remove("action").as_ref().map(|action| action.as_str().ok_or(action)) {
            None | Some(Err(Value::Null)) => match fields.get("backup_type") {
                Some(Value::String(kind)) if kind == CHANGES => read(fields).map(Self::Changes),
                _ => read(fields).map(Self::Make),
            },
            Some(Ok("capture")) => read(fields).map(Self::Capture),
            Some(Ok("release")) => read(fields).map(Self::Release),
            Some(Ok("list")) => read(fields).map(|Alone {}| Self::List),
            Some(Ok("prune")) => read(fields).map(Self::Prune),
            Some(Ok("rebuild")) => read(fields).map(Self::Rebuild),
            Some(Ok("status")) => read(fields).map(Self::Status),
            Some(Ok(other)) => Err(D::Error::custom(format!("action {other:?} is not known"))),
            Some(Err(other)) => Err(D::Error::custom(format!("action {other} is not a text"))),
        }
    }
}

impl Request for BackupRequest {
    const ACCEPTS: &'static str = "backup_type \"full\", \"payments\", \"orders\", \"tickets\", or \"tables\" with tables, a \
        list of names; with any of them a label of up to 60 bytes, a format (\"copy\", the default, \"csv\" or \"json\"), for \
        the rows of a window of time date_from, date_to (by default now) and created_columns, which column dates the rows \
        of a table, and, from a schedule, scheduled_at; or backup_type \"changes\", alone or with \
        scheduled_at; or action \"capture\" or \"release\" with tables, dry_run (default true), actor, reason; \"list\"; \"status\" with backup_id (an id or \"latest\"); \
        \"prune\" with dry_run (default true), actor, reason, older_than_days, more_than_half, without_recovery_points; \
        \"rebuild\" with dry_run (default false)";
    const EXAMPLE: &'static str = r#"{"backup_type":"tables","tables":["public.orders"],"date_from":"2026-11-01T00:00:00Z","label":"before release 12"}"#;
}

/// A backup that is to be made.
#[derive(Debug)]
pub(crate) struct Make {
    /// Which part of the database.
    pub(crate) selection: Selection,
    /// What the operator calls it.
    pub(crate) label: Option<String>,
    /// How rows are written.
    pub(crate) format: TableFormat,
    /// The time that a schedule meant.
    pub(crate) scheduled_at: Option<OffsetDateTime>,
}

impl MakeRequest {
    /// Understands it.
    ///
    /// # Errors
    /// `InvalidRequest`, with what is accepted and an example.
    pub(crate) fn understood(self) -> Result<Make, Failure> {
        let refuse = |reason: String| {
            let (accepts, example) = (BackupRequest::ACCEPTS, BackupRequest::EXAMPLE);
            Failure::invalid_request(format!("{reason}. Accepted: {accepts}. Example: {example}"))
        };
        let Some(kind) = self.backup_type.as_deref() else {
            return Err(refuse("neither backup_type nor action is given".to_owned()));
        };
        let kind = kind.parse().map_err(refuse)?;
        if let Some(label) = &self.label {
            check_label(label)?;
        }
        let (label, format, scheduled_at) = (self.label.clone(), self.format, self.scheduled_at);
        Ok(Make { selection: self.selection(kind).map_err(refuse)?, label, format, scheduled_at })
    }

    /// Which part of the database is asked for.
    fn selection(self, kind: BackupKind) -> Result<Selection, String> {
        let tables = match (kind, self.tables) {
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
        let window = match (&self.date_from, &self.date_to, &self.created_columns) {
            (None, None, None) => None,
            (None, _, _) => {
                return Err("date_to and created_columns need date_from, where the window begins".to_owned());
            }
            (Some(from), to, _) => {
                let columns = self.created_columns.unwrap_or_default();
                Some(Window::parse(from, to.as_deref(), columns, OffsetDateTime::now_utc())?)
            }
        };
        Ok(Selection { kind, tables, window })
    }
}

fn instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<OffsetDateTime>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    OffsetDateTime::parse(&text, &Rfc3339).map(Some).map_err(|_| {
        D::Error::custom(format!("{text:?}: expected an instant with its zone, such as 2026-11-21T04:10:00Z"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use recoup::invocation::parse;
    use serde_json::json;

    fn understood(payload: Value) -> Result<(), Failure> {
        match parse::<BackupRequest>(payload)? {
            BackupRequest::Make(make) => make.understood().map(drop),
            BackupRequest::Prune(prune) => prune.check().map(drop),
            BackupRequest::Capture(order) | BackupRequest::Release(order) => order.understood().map(drop),
            BackupRequest::Changes(_)
            | BackupRequest::List
            | BackupRequest::Rebuild(_)
            | BackupRequest::Status(_) => Ok(()),
        }
    }

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
            json!({"backup_type": "Full"}),
            json!({"action": "compact"}),
            json!({"action": 7}),
            json!({"action": "list", "backup_type": "full"}),
            json!({"action": "list", "format": "csv"}),
            json!({"backup_type": "full", "format": "xml"}),
            json!({"label": "x"}),
            json!({"backup_type": "full", "label": ""}),
            json!({"backup_type": "full", "labl": "x"}),
            json!({"backup_type": "full", "scheduled_at": "yesterday"}),
            json!({"backup_type": "full", "dry_run": true}),
            json!({"action": "status"}),
            json!({"action": "rebuild", "actor": "ada"}),
            json!({"action": "prune", "older_than_days": 0}),
            json!({"action": "prune", "older_than_days": -30}),
            json!({"action": "prune", "older_than_days": 1.5}),
            json!({"action": "prune", "older_than_days": "all"}),
            json!({"action": "prune", "older_than_days": 400_000}),
            json!({"action": "prune", "dry_run": "no"}),
            json!({"action": "prune", "dry_run": false}),
            json!({"action": "prune", "dry_run": false, "actor": "ada", "reason": " "}),
            json!({"action": "prune", "dry_run": false, "reason": "room"}),
            json!({"backup_type": "changes", "label": "x"}),
            json!({"backup_type": "changes", "tables": ["public.orders"]}),
            json!({"action": "capture", "tables": ["orders"]}),
            json!({"action": "capture", "tables": "public.orders"}),
            json!({"action": "capture", "dry_run": false, "actor": "ada", "reason": "all"}),
            json!({"action": "release", "tables": ["public.orders"], "dry_run": false, "actor": "ada"}),
            json!({}),
        ] {
            let failure = understood(payload.clone()).expect_err("refused");
            assert_eq!(failure.error_type(), "InvalidRequest", "{payload}");
        }
    }

    #[test]
    fn what_is_accepted_is() {
        for payload in [
            serde_json::from_str(BackupRequest::EXAMPLE).expect("json"),
            json!({"action": null, "backup_type": "full", "label": null}),
            json!({"backup_type": "full", "scheduled_at": "2026-11-21T04:10:00Z"}),
            json!({"backup_type": "payments", "date_from": null}),
            json!({"backup_type": "orders", "date_from": "2026-11-01T00:00:00+01:00"}),
            json!({"backup_type": "tickets"}),
            json!({"backup_type": "full", "format": "json"}),
            json!({"action": "list"}),
            json!({"action": "status", "backup_id": "latest"}),
            json!({"action": "rebuild"}),
            json!({"backup_type": "changes"}),
            json!({"backup_type": "changes", "scheduled_at": "2026-11-21T04:10:00Z"}),
            json!({"action": "capture"}),
            json!({"action": "capture", "tables": ["public.orders"]}),
            json!({"action": "release", "tables": ["shop.\"Odd\""], "dry_run": false, "actor": "a", "reason": "b"}),
            json!({"action": "prune"}),
            json!({"action": "prune", "older_than_days": 30, "dry_run": false, "actor": "ada", "reason": "room"}),
        ] {
            understood(payload).expect("accepted");
        }
    }
}
