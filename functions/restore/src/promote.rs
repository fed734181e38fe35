//! `{"action":"promote"}`: a copy goes live, as a whole or in part.

use std::collections::BTreeMap;
use std::time::SystemTime;

use recoup::audit::{dry, mandate};
use recoup::failure::Failure;
use recoup::promote::rows::{Merged, RowsOrder, Triggers, Which, merge_missing, overwrite};
use recoup::promote::{Order, Swapped, swap};
use recoup::secrets::SecretStore;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Restore;
use crate::compare::named;

/// A copy that is to go live.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromoteRequest {
    mode: Mode,
    target_database: String,
    target_secret: Option<String>,
    tables: Option<Vec<String>>,
    keys: Option<BTreeMap<String, Vec<Map<String, Value>>>>,
    #[serde(default)]
    triggers: Triggers,
    force: Option<String>,
    #[serde(default = "dry")]
    dry_run: bool,
    actor: Option<String>,
    reason: Option<String>,
}

/// How a copy goes live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The copy takes production's name.
    Swap,
    /// Rows that production lacks are put in.
    MergeMissing,
    /// Rows of production are made equal to the copy's.
    Overwrite,
}

/// What the function answers.
#[derive(Debug, Serialize)]
pub struct PromoteReply {
    mode: Mode,
    dry_run: bool,
    #[serde(flatten)]
    promoted: Promoted,
}

/// By mode.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Promoted {
    Swapped(Swapped),
    Merged(Merged),
}

impl<S: SecretStore + Sync> Restore<S> {
    /// Promotes.
    pub(crate) async fn promote(
        &self,
        request: PromoteRequest,
        deadline: SystemTime,
    ) -> Result<PromoteReply, Failure> {
        let PromoteRequest { mode, target_database, target_secret, tables, keys, .. } = request;
        let PromoteRequest { triggers, force, dry_run, actor, reason, .. } = request;
        let mandate = mandate(dry_run, actor, reason)?;
        let production = self.production().await?;
        if mode == Mode::Swap {
            if target_secret.is_some() {
                return Err(Failure::invalid_request(
                    "swap renames databases of one server, production's: leave target_secret out for a copy there; of a copy elsewhere take mode \"merge_missing\" or \"overwrite\", or put its URL into the database's secret",
                ));
            }
            if tables.is_some() || keys.is_some() {
                return Err(Failure::invalid_request(
                    "swap takes the whole copy: leave tables and keys out, or take mode \"merge_missing\" or \"overwrite\"",
                ));
            }
            let order = Order { database: Some(target_database), force, mandate };
            let swapped = Box::pin(swap(&production, &order)).await?;
            return Ok(PromoteReply { mode, dry_run, promoted: Promoted::Swapped(swapped) });
        }
        let which = match (mode, tables, keys) {
            (_, Some(_), Some(_)) => {
                return Err(Failure::invalid_request("give tables or keys, not both"));
            }
            (_, Some(tables), None) => Which::Tables(named(&tables)?),
            (Mode::Overwrite, None, Some(keys)) => Which::Keys(read_keys(keys)?),
            (Mode::Overwrite, None, None) => {
                return Err(Failure::invalid_request(
                    "overwrite replaces rows: name the tables, or keys as {\"public.orders\":[{\"id\":1}]}",
                ));
            }
            (_, None, Some(_)) => {
                return Err(Failure::invalid_request("keys is for mode \"overwrite\"; give tables"));
            }
            (_, None, None) => Which::All,
        };
        let elsewhere = self.elsewhere(target_secret.as_deref()).await?;
        let order = RowsOrder { copy: target_database, elsewhere, which, triggers, force, mandate };
        let merged = match mode {
            Mode::Overwrite => Box::pin(overwrite(&production, &order, deadline)).await?,
            _ => Box::pin(merge_missing(&production, &order, deadline)).await?,
        };
        Ok(PromoteReply { mode, dry_run, promoted: Promoted::Merged(merged) })
    }
}

type Keys = BTreeMap<recoup::archive::selection::TableName, Vec<BTreeMap<String, String>>>;

/// Reads keys: of each table some rows, as values by column. Numbers and texts are both taken as Postgres would read them.
fn read_keys(keys: BTreeMap<String, Vec<Map<String, Value>>>) -> Result<Keys, Failure> {
    let value = |table: &str, column: String, value: Value| match value {
        Value::String(text) => Ok((column, text)),
        Value::Number(number) => Ok((column, number.to_string())),
        Value::Bool(truth) => Ok((column, truth.to_string())),
        _ => Err(Failure::invalid_request(format!(
            "keys of {table}: {column} is neither a text nor a number; a key has no null and no list"
        ))),
    };
    let mut read = Keys::new();
    for (table, rows) in keys {
        let name = table.parse().map_err(Failure::invalid_request)?;
        let rows: Result<Vec<BTreeMap<String, String>>, Failure> = rows
            .into_iter()
            .map(|row| row.into_iter().map(|(column, found)| value(&table, column, found)).collect())
            .collect();
        read.insert(name, rows?);
    }
    Ok(read)
}
