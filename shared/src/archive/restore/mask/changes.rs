//! The same masks for the rows and keys that changes bring.

use super::Masks;
use super::rule::Rule;
use super::values::Masker;
use crate::changes::row_text::{fields, push_value, value};
use crate::changes::{Action, CapturedTable};

/// How the changes of one table are masked.
pub(in crate::archive::restore) struct ChangeMasks {
    row: Vec<Masker>,
    key: Vec<Masker>,
}

impl Masks {
    /// How the changes of a table are masked; none where nothing is. `partitions` are the tables (schema and name) that
    /// have its rows, where they are not its own.
    pub(in crate::archive::restore) fn of_changes(
        &self,
        table: &CapturedTable,
        partitions: &[(String, String)],
    ) -> Option<ChangeMasks> {
        if self.key.is_empty() {
            return None;
        }
        let own = (table.schema.clone(), table.name.clone());
        let rule = |name: &String| {
            let known = std::iter::once(&own).chain(partitions);
            let known: Vec<Rule> =
                known.filter_map(|table| self.rules.get(table)?.get(name).copied()).collect();
            // What no table of the backup stores computes itself again.
            let masked = known.iter().find(|rule| **rule != Rule::Keep);
            masked.or(known.first()).copied().unwrap_or(Rule::Null)
        };
        let masker = |name: &String| {
            let data_type = table.columns.iter().find(|column| column.name == *name);
            Masker::new(rule(name), data_type.map_or("", |column| column.data_type.as_str()), &self.key)
        };
        Some(ChangeMasks {
            row: table.columns.iter().map(|column| masker(&column.name)).collect(),
            key: table.key.iter().map(masker).collect(),
        })
    }
}

impl ChangeMasks {
    /// Masks what a change says.
    ///
    /// # Errors
    /// Where its row is none, without its content.
    pub(in crate::archive::restore) fn mask(&self, action: &mut Action) -> Result<(), &'static str> {
        match action {
            Action::Put { row } => *row = masked(row, &self.row)?,
            Action::Delete { key } => *key = masked(key, &self.key)?,
            Action::Truncate => {}
        }
        Ok(())
    }
}

fn masked(row: &str, columns: &[Masker]) -> Result<String, &'static str> {
    let fields = fields(row)?;
    if fields.len() != columns.len() {
        return Err("has a row of other columns than its table");
    }
    let mut out = String::with_capacity(row.len());
    out.push('(');
    for (at, (field, column)) in fields.into_iter().zip(columns).enumerate() {
        if at > 0 {
            out.push(',');
        }
        if column.keeps() {
            out.push_str(field);
        } else {
            push_value(value(field).and_then(|value| column.value(&value)).as_deref(), &mut out);
        }
    }
    out.push(')');
    Ok(out)
}
