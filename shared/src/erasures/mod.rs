//! Erasures: a person asked to be forgotten, and no restore brings them back.
//!
//! An erasure takes from the rows what tells who somebody is: address and name of their customers, what people typed
//! in the events that are about them, and in the audit log. What was bought and paid stays, under Stripe's ids.
//!
//! Backups are not rewritten. So each erasure is written down twice: in the bucket, encrypted as backups are, where a lost
//! database does not take it along and every restore finds it; and in `recoup.erasures`, where it is applied again to
//! events that come later. To apply one again changes nothing more.

mod apply;
mod person;
mod record;
mod texts;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::archive::names::key_timestamp;

pub use apply::{Applied, apply, apply_all, apply_to_copy};
pub use person::{Customer, find_customers, known, objects_of};
pub use record::{Records, keep, list, open};

/// One person, or several customers that are one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erasure {
    /// `<utc time>-erasure-<8 hex digits>`.
    pub erasure_id: String,
    /// When it was asked for.
    #[serde(with = "time::serde::rfc3339")]
    pub erased_at: OffsetDateTime,
    /// Stripe's ids of their customers.
    pub customers: BTreeSet<String>,
    /// Ids of every object that was theirs.
    pub objects: BTreeSet<String>,
    /// Rows of the application's tables.
    #[serde(default)]
    pub application_rows: Vec<ApplicationRow>,
}

/// A row of an application's table, and what it says once the person is gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplicationRow {
    /// `schema.table`, as in SQL.
    pub table: String,
    /// The values that find it, by column.
    pub key: Map<String, Value>,
    /// The values that it gets, by column.
    pub set: Map<String, Value>,
}

impl Erasure {
    /// A new one; `digits` tell two apart that begin in the same second.
    pub fn new(
        erased_at: OffsetDateTime,
        digits: u32,
        customers: BTreeSet<String>,
        objects: BTreeSet<String>,
        application_rows: Vec<ApplicationRow>,
    ) -> Self {
        let erasure_id = format!("{}-erasure-{digits:08x}", key_timestamp(erased_at));
        Self { erasure_id, erased_at, customers, objects, application_rows }
    }
}
