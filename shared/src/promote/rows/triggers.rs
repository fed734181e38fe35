//! Production's own triggers, while rows are put in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection};

use crate::archive::session::run;
use crate::promote::PromoteError;

/// What happens with production's own triggers. Those of foreign keys, and those of recoup that record changes, always fire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Triggers {
    /// They fire, as for whoever else writes.
    #[default]
    Fire,
    /// They are switched off in the transaction, and on again before it ends. Writers of these tables wait meanwhile.
    Off,
}

/// A trigger of a table, or of a partition of it.
#[derive(Debug, Clone, FromRow)]
pub struct Trigger {
    relation: String,
    name: String,
    state: String,
    is_clone: bool,
}

impl Trigger {
    fn is_on(&self) -> bool {
        self.state != "D"
    }

    /// For messages.
    pub fn described(&self) -> String {
        format!("{} of {}", self.name, self.relation)
    }

    fn set(&self, only: &str) -> String {
        let state = match self.state.as_str() {
            "D" => "DISABLE",
            "R" => "ENABLE REPLICA",
            "A" => "ENABLE ALWAYS",
            _ => "ENABLE",
        };
        format!("ALTER TABLE {only}{} {state} TRIGGER {}", self.relation, self.name)
    }
}

/// Reads the triggers of tables, by oid.
///
/// # Errors
/// [`PromoteError::Archive`].
pub async fn read_triggers(
    connection: &mut PgConnection,
    tables: &[i64],
) -> Result<Vec<Trigger>, PromoteError> {
    sqlx::query_as(include_str!("sql/triggers.sql"))
        .bind(tables.to_vec())
        .persistent(false)
        .fetch_all(connection)
        .await
        .map_err(|error| PromoteError::database("read the triggers of production", &error))
}

/// Those that fire.
pub fn firing(triggers: &[Trigger]) -> Vec<String> {
    let fires = |trigger: &&Trigger| matches!(trigger.state.as_str(), "O" | "A") && !trigger.is_clone;
    triggers.iter().filter(fires).map(Trigger::described).collect()
}

/// Switches them off.
///
/// # Errors
/// [`PromoteError::Archive`], for example where we do not own a table.
pub async fn switch_off(connection: &mut PgConnection, triggers: &[Trigger]) -> Result<(), PromoteError> {
    for trigger in triggers.iter().filter(|trigger| trigger.is_on() && !trigger.is_clone) {
        let sql = format!("ALTER TABLE {} DISABLE TRIGGER {}", trigger.relation, trigger.name);
        run(connection, &format!("switch off trigger {}", trigger.described()), &sql).await?;
    }
    Ok(())
}

/// Gives each trigger the state that it had.
///
/// # Errors
/// [`PromoteError::Archive`].
pub async fn switch_on(connection: &mut PgConnection, triggers: &[Trigger]) -> Result<(), PromoteError> {
    let above: BTreeMap<&str, &str> = triggers
        .iter()
        .filter(|trigger| !trigger.is_clone)
        .map(|trigger| (trigger.name.as_str(), trigger.state.as_str()))
        .collect();
    for trigger in triggers {
        // A clone follows the trigger above it, unless it was set apart.
        let (needed, only) = match trigger.is_clone {
            false => (trigger.is_on(), ""),
            true => (above.get(trigger.name.as_str()).is_some_and(|state| *state != trigger.state), "ONLY "),
        };
        if needed {
            let operation = format!("switch trigger {} on again", trigger.described());
            run(connection, &operation, &trigger.set(only)).await?;
        }
    }
    Ok(())
}
