//! What a restore was asked for, as it stands in the staging database: whoever goes on does the same.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::mark::{Mark, State};
use crate::archive::manifest::{Manifest, TableEntry};

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The restore's name.
    pub restore_id: String,
    /// The backup's name.
    pub backup_id: String,
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    pub began_at: OffsetDateTime,
    /// The only tables that are wanted, as a request names them; none for all.
    pub tables: Option<Vec<String>>,
    /// The tables (`schema.table`) that have the rows of these; filled in when the backup is opened.
    pub wanted: Option<Vec<String>>,
    /// The instant up to which changes are applied to the backup; none for the backup as it is.
    #[serde(with = "time::serde::rfc3339::option")]
    pub target: Option<OffsetDateTime>,
    /// How personal data is masked; none where it is not.
    pub masking: Option<Masking>,
}

/// How personal data is masked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Masking {
    /// What the replacements follow from, besides the values, in hex: made for this restore, and dropped when it ends,
    /// so that nobody can find out what a value was by trying.
    pub key: String,
    /// Columns (`schema.table.column`) and the rule for each, where the request says so.
    pub columns: BTreeMap<String, String>,
}

impl Order {
    /// What the finished database is.
    pub fn finished(&self, manifest: &Manifest) -> Mark {
        let state = match self {
            Self { masking: Some(_), .. } => State::Masked,
            Self { tables: Some(_), .. } => State::Part,
            _ if manifest.is_everything() => State::Complete,
            _ => State::Part,
        };
        self.mark(state)
    }

    /// What the database is while it is filled.
    pub fn unfinished(&self) -> Mark {
        self.mark(State::Incomplete)
    }

    /// Whether the rows of a table are wanted.
    pub fn wants(&self, table: &TableEntry) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| wanted.contains(&table.qualified_name()))
    }

    fn mark(&self, state: State) -> Mark {
        Mark {
            state,
            backup_id: self.backup_id.clone(),
            restore_id: Some(self.restore_id.clone()),
            changes_to: self
                .target
                .map(|target| target.format(&Rfc3339).unwrap_or_else(|_| target.to_string())),
        }
    }
}
