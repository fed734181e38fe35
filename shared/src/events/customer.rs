//! `customer.created`, `customer.updated`, `customer.deleted`: one row of `customers`, a tombstone at the end.

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::field::{Fault, Id, Instant, Text, read};
use super::row::Row;
use super::statement::Statement;

/// A customer as an event shows it.
#[derive(Debug)]
pub struct Customer {
    object: Object,
    rank: i64,
    deleted: bool,
}

#[derive(Debug, Deserialize)]
struct Object {
    id: Id,
    created: Option<Instant>,
    email: Option<Text>,
    name: Option<Text>,
}

impl Customer {
    /// Records the event and writes the customer.
    pub const STATEMENT: &str = concat!(
        include_str!("sql/ready.sql"),
        include_str!("sql/record_applied.sql"),
        include_str!("sql/customer.sql"),
        include_str!("sql/audited.sql"),
        include_str!("sql/recorded_or_tied.sql")
    );

    /// Reads `data.object`.
    ///
    /// # Errors
    /// The field that is missing or cannot be read.
    pub fn read(kind: &str, object: &RawValue) -> Result<Self, Fault> {
        let rank = match kind {
            "customer.created" => 1,
            "customer.deleted" => 3,
            _ => 2,
        };
        Ok(Self { object: read("data.object", object)?, rank, deleted: kind == "customer.deleted" })
    }

    /// The id of the customer.
    pub fn id(&self) -> &str {
        self.object.id.as_str()
    }

    /// How far the customer had come.
    pub fn rank(&self) -> i64 {
        self.rank
    }

    /// What its row holds of it: see [`super::reading`].
    pub fn row(&self) -> Row {
        let object = &self.object;
        Row::new(json!({
            "id": object.id, "email": object.email, "name": object.name, "created_at": object.created,
        }))
    }

    /// Binds $10 to $14.
    pub fn bind<'q>(&'q self, statement: Statement<'q>) -> Statement<'q> {
        let object = &self.object;
        statement
            .bind(object.id.as_str())
            .bind(object.email.as_ref().map(Text::as_str))
            .bind(object.name.as_ref().map(Text::as_str))
            .bind(object.created.map(|created| created.0))
            .bind(self.deleted)
    }
}
