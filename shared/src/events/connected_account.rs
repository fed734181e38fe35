//! `account.updated`: one row of `connected_accounts` an account. What a person may be asked is not kept, only that
//! it is asked.

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::field::{Fault, Id, Instant, Text, read};
use super::row::Row;
use super::statement::Statement;
use crate::money::Currency;

/// An account as an event shows it.
#[derive(Debug)]
pub struct ConnectedAccount {
    object: Object,
}

#[derive(Debug, Deserialize)]
struct Object {
    id: Id,
    charges_enabled: bool,
    country: Option<Text>,
    created: Option<Instant>,
    default_currency: Option<Currency>,
    details_submitted: bool,
    payouts_enabled: bool,
    #[serde(default)]
    requirements: Option<Requirements>,
    #[serde(rename = "type")]
    kind: Option<Text>,
}

#[derive(Debug, Deserialize)]
struct Requirements {
    currently_due: Option<Vec<Text>>,
    disabled_reason: Option<Text>,
}

impl ConnectedAccount {
    /// Records the event and writes the account.
    pub const STATEMENT: &str = concat!(
        include_str!("sql/ready.sql"),
        include_str!("sql/record_applied.sql"),
        include_str!("sql/connected_account.sql"),
        include_str!("sql/audited.sql"),
        include_str!("sql/recorded_or_tied.sql")
    );

    /// Reads `data.object`.
    ///
    /// # Errors
    /// The field that is missing or cannot be read.
    pub fn read(object: &RawValue) -> Result<Self, Fault> {
        Ok(Self { object: read("data.object", object)? })
    }

    /// The id of the account.
    pub fn id(&self) -> &str {
        self.object.id.as_str()
    }

    /// An account has no lifecycle: nothing in it tells two events of one second apart.
    pub fn rank(&self) -> i64 {
        0
    }

    /// What its row holds of it: see [`super::reading`].
    pub fn row(&self) -> Row {
        let object = &self.object;
        let requirements = object.requirements.as_ref();
        let due = requirements.and_then(|requirements| requirements.currently_due.as_deref());
        Row::new(json!({
            "id": object.id,
            "type": object.kind,
            "country": object.country,
            "default_currency": object.default_currency,
            "charges_enabled": object.charges_enabled,
            "payouts_enabled": object.payouts_enabled,
            "details_submitted": object.details_submitted,
            "disabled_reason": requirements.and_then(|requirements| requirements.disabled_reason.as_ref()),
            "currently_due": due.unwrap_or_default(),
            "created_at": object.created,
        }))
    }

    /// Binds $10 to $19.
    pub fn bind<'q>(&'q self, statement: Statement<'q>) -> Statement<'q> {
        let object = &self.object;
        let text = |text: &'q Option<Text>| text.as_ref().map(Text::as_str);
        let requirements = object.requirements.as_ref();
        let due = requirements.and_then(|requirements| requirements.currently_due.as_deref());
        statement
            .bind(object.id.as_str())
            .bind(text(&object.kind))
            .bind(text(&object.country))
            .bind(object.default_currency.as_ref().map(Currency::code))
            .bind(object.charges_enabled)
            .bind(object.payouts_enabled)
            .bind(object.details_submitted)
            .bind(requirements.and_then(|requirements| text(&requirements.disabled_reason)))
            .bind(due.unwrap_or_default().iter().map(Text::as_str).collect::<Vec<_>>())
            .bind(object.created.map(|created| created.0))
    }
}
