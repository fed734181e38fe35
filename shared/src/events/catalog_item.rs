//! `product.*` and `price.*`: the catalogue of what a price or product grants. Lines that were sold before the
//! catalogue knew are settled by the event that teaches it.

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::field::{Fault, Id, Metadata, Reference, Text, read};
use super::grant::Grant;
use super::row::Row;
use super::statement::Statement;
use crate::money::Currency;

/// A product or price as an event shows it.
#[derive(Debug)]
pub struct CatalogItem {
    object: Object,
    grant: Option<Grant>,
    rank: i64,
    deleted: bool,
}

#[derive(Debug, Deserialize)]
struct Object {
    id: Id,
    /// `product` or `price`.
    object: Text,
    active: Option<bool>,
    currency: Option<Currency>,
    #[serde(default)]
    metadata: Metadata,
    name: Option<Text>,
    nickname: Option<Text>,
    product: Option<Reference>,
    /// Below zero where an invoice item's one-time price is a credit.
    unit_amount: Option<i64>,
}

impl CatalogItem {
    /// Records the event, writes the item, and grants what lines of it were waiting for.
    pub const STATEMENT: &str = concat!(
        include_str!("sql/ready.sql"),
        include_str!("sql/record_applied.sql"),
        include_str!("sql/catalog_item.sql"),
        include_str!("sql/granted.sql"),
        include_str!("sql/grants.sql"),
        include_str!("sql/audited.sql"),
        include_str!("sql/recorded_or_tied.sql")
    );

    /// Reads `data.object`.
    ///
    /// # Errors
    /// The field that is missing or cannot be read, metadata that cannot be a grant included.
    pub fn read(kind: &str, object: &RawValue) -> Result<Self, Fault> {
        let object: Object = read("data.object", object)?;
        if !matches!(object.object.as_str(), "product" | "price") {
            return Err(Fault::new("data.object.object", "expected product or price"));
        }
        let grant = Grant::from_metadata("data.object.metadata", &object.metadata)?;
        let deleted = kind.ends_with(".deleted");
        let rank = match kind {
            _ if deleted => 3,
            _ if kind.ends_with(".created") => 1,
            _ => 2,
        };
        Ok(Self { object, grant, rank, deleted })
    }

    /// The id of the product or price.
    pub fn id(&self) -> &str {
        self.object.id.as_str()
    }

    /// How far the item had come.
    pub fn rank(&self) -> i64 {
        self.rank
    }

    /// What its row holds of it: see [`super::reading`].
    pub fn row(&self) -> Row {
        let object = &self.object;
        let grant = self.grant.as_ref();
        Row::new(json!({
            "id": object.id,
            "object": object.object,
            "product_id": object.product,
            "name": object.name.as_ref().or(object.nickname.as_ref()),
            "active": object.active,
            "unit_amount": object.unit_amount,
            "currency": object.currency,
            "grants_kind": grant.map(|grant| &grant.kind),
            "grants_ref": grant.map(|grant| &grant.reference),
            "grants_quantity": grant.map(|grant| grant.quantity),
        }))
    }

    /// Binds $10 to $20.
    pub fn bind<'q>(&'q self, statement: Statement<'q>) -> Statement<'q> {
        let object = &self.object;
        let grant = self.grant.as_ref();
        statement
            .bind(object.id.as_str())
            .bind(object.object.as_str())
            .bind(object.product.as_ref().map(Reference::as_str))
            .bind(object.name.as_ref().or(object.nickname.as_ref()).map(Text::as_str))
            .bind(object.active)
            .bind(object.unit_amount)
            .bind(object.currency.as_ref().map(Currency::code))
            .bind(grant.map(|grant| grant.kind.as_str()))
            .bind(grant.map(|grant| grant.reference.as_str()))
            .bind(grant.map(|grant| grant.quantity))
            .bind(self.deleted)
    }
}
