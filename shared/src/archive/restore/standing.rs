//! How far a restore is.

use serde::Serialize;

use super::ledger::{Ledger, Step};
use super::order::Order;
use crate::archive::manifest::Manifest;

/// How far a restore is, by what it has committed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Standing {
    /// What it is at.
    pub phase: &'static str,
    /// Bytes of rows that are loaded.
    pub bytes_loaded: u64,
    /// Bytes of rows that are to be loaded.
    pub bytes_total: u64,
    /// The same in percent.
    pub percent_loaded: f64,
    /// Statements of the definitions that were run, or left out.
    pub statements_done: u64,
    /// All of them.
    pub statements_total: u64,
    /// Tables whose rows were read again and are what they should be.
    pub tables_proven: u64,
}

impl Standing {
    /// Reads it off a ledger.
    pub(super) fn of(ledger: &Ledger, manifest: &Manifest, order: &Order) -> Self {
        let parts =
            || manifest.tables.iter().filter(|table| order.wants(table)).flat_map(|table| &table.parts);
        let loaded = parts().filter(|part| ledger.has(Step::Part, &part.key));
        let (bytes_loaded, bytes_total) =
            (loaded.map(|part| part.bytes_raw).sum(), parts().map(|part| part.bytes_raw).sum());
        let tables_proven = ledger.of(Step::Proven).count() as u64;
        let phase = match () {
            () if tables_proven > 0 => "proving the rows",
            () if ledger.has(Step::Analyzed, "") => "proving the rows",
            () if ledger.has(Step::Sequences, "") => "building keys and indexes",
            () if bytes_loaded > 0 => "loading rows",
            () => "making types and tables",
        };
        Self {
            phase,
            bytes_loaded,
            bytes_total,
            percent_loaded: percent(bytes_loaded, bytes_total),
            statements_done: ledger.of(Step::Statement).count() as u64,
            statements_total: manifest.schema.statements.len() as u64,
            tables_proven,
        }
    }
}

fn percent(done: u64, total: u64) -> f64 {
    if total == 0 { 100.0 } else { (1000.0 * done as f64 / total as f64).floor() / 10.0 }
}
