//! Which rows of a table are dealt with.

use std::collections::BTreeMap;

use crate::archive::session::{quote_ident, quote_literal};
use crate::comparison::ranges::range_of;
use crate::comparison::tables::{Pair, Table};

/// Values of a key by column.
pub type Key = BTreeMap<String, String>;

/// Keys that one request may name of a table.
const KEYS_MAX: usize = 1000;

/// Which rows of a table, on both sides.
#[derive(Debug, Clone)]
pub enum Scope {
    /// Those in these ranges of the identity's hash, see [`crate::comparison::ranges`].
    Ranges(Vec<i64>),
    /// Those with these keys.
    Keys(Vec<Key>),
}

impl Scope {
    /// Reads keys that a request names.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn of_keys(pair: &Pair, keys: &[Key]) -> Result<Self, String> {
        let table = pair.copy.table_name();
        if pair.key.is_empty() {
            return Err(format!(
                "table {table} has no key that both databases know; give it in tables instead"
            ));
        }
        if keys.is_empty() || keys.len() > KEYS_MAX {
            return Err(format!("give 1 to {KEYS_MAX} keys of table {table}, or the whole table in tables"));
        }
        for key in keys {
            if key.len() != pair.key.len() || !pair.key.iter().all(|column| key.contains_key(column)) {
                return Err(format!("a key of table {table} has the columns {}", pair.key.join(", ")));
            }
        }
        Ok(Self::Keys(keys.to_vec()))
    }

    /// The condition on a row of `table`, as SQL; it holds under the settings of [`crate::archive::session`].
    pub fn condition(&self, alias: &str, pair: &Pair, table: &Table) -> String {
        match self {
            Self::Ranges(ranges) => {
                let ranges: Vec<String> = ranges.iter().map(i64::to_string).collect();
                format!("{} = ANY ('{{{}}}'::bigint[])", range_of(alias, pair.identity()), ranges.join(","))
            }
            Self::Keys(keys) => {
                let columns: Vec<String> = pair.key.iter().map(|column| quote_ident(column)).collect();
                let value = |key: &Key, column: &String| {
                    let text = key.get(column).map_or("NULL".to_owned(), |text| quote_literal(text));
                    format!("{text}::{}", table.type_of(column).unwrap_or("text"))
                };
                let rows: Vec<String> = keys
                    .iter()
                    .map(|key| {
                        let values: Vec<String> = pair.key.iter().map(|column| value(key, column)).collect();
                        format!("({})", values.join(", "))
                    })
                    .collect();
                format!(
                    "EXISTS (SELECT FROM (VALUES {}) AS wanted ({}) WHERE {})",
                    rows.join(", "),
                    columns.join(", "),
                    same_key(pair, alias, "wanted")
                )
            }
        }
    }
}

/// Whether two rows have the same key, as the key's own index compares them.
pub fn same_key(pair: &Pair, one: &str, other: &str) -> String {
    let equal: Vec<String> = pair
        .key
        .iter()
        .zip(&pair.production.key_operators)
        .map(|(column, operator)| {
            let column = quote_ident(column);
            format!("{one}.{column} {operator} {other}.{column}")
        })
        .collect();
    equal.join(" AND ")
}
