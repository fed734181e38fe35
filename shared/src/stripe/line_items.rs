//! The lines of a checkout session, fetched where an event does not have them.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Client, StripeError, encoded};
use crate::events::checkout_session::Line;
use crate::events::field::{Fault, Id, Metadata, NonNegative, Text, read};
use crate::events::grant::Grant;
use crate::events::receive::LineItems;

/// Stripe allows 100 lines in a session; more pages than this are a loop.
const PAGES_MAX: usize = 4;

#[derive(Deserialize)]
struct Page {
    data: Vec<Item>,
    #[serde(default)]
    has_more: bool,
}

#[derive(Deserialize)]
struct Item {
    id: Id,
    amount_total: Option<NonNegative>,
    description: Option<Text>,
    price: Option<Price>,
    quantity: Option<NonNegative>,
}

#[derive(Deserialize)]
struct Price {
    id: Id,
    #[serde(default)]
    metadata: Metadata,
    product: Option<Product>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Product {
    Id(Id),
    Expanded {
        id: Id,
        #[serde(default)]
        metadata: Metadata,
    },
}

/// The lines of the list that a session shows where it was asked for, and whether there are more.
///
/// # Errors
/// The field that is missing or cannot be read.
pub fn of_list(list: &RawValue) -> Result<(Vec<Line>, bool), Fault> {
    let page: Page = read("line_items", list)?;
    Ok((page.data.into_iter().map(Item::into_line).collect(), page.has_more))
}

impl LineItems for Client {
    type Error = StripeError;

    async fn of_session(&self, session: &str, account: Option<&str>) -> Result<Vec<Line>, StripeError> {
        let session = encoded(session);
        let path =
            format!("/v1/checkout/sessions/{session}/line_items?limit=100&expand[]=data.price.product");
        let mut lines = Vec::new();
        let mut after = String::new();
        for _ in 0..PAGES_MAX {
            let body = self.get(&format!("{path}{after}"), account).await?;
            let page =
                read_page(&body).map_err(|reason| StripeError::Unreadable { path: path.clone(), reason })?;
            if let (true, Some(last)) = (page.has_more, page.data.last()) {
                after = format!("&starting_after={}", last.id.as_str());
                lines.extend(page.data.into_iter().map(Item::into_line));
            } else {
                lines.extend(page.data.into_iter().map(Item::into_line));
                return Ok(lines);
            }
        }
        Err(StripeError::Unreadable { path, reason: format!("more than {PAGES_MAX} pages") })
    }
}

/// The reason names the field.
fn read_page(body: &[u8]) -> Result<Page, String> {
    let json: &RawValue = serde_json::from_slice(body).map_err(|_| "not JSON".to_owned())?;
    read("line_items", json).map_err(|fault| fault.to_string())
}

impl Item {
    /// Metadata that cannot be read as a grant leaves the line without one: a flagged item, not a lost sale.
    fn into_line(self) -> Line {
        let mut line = Line {
            line_item_id: Some(self.id.into_string()),
            price_id: None,
            product_id: None,
            description: self.description.map(|text| text.as_str().to_owned()),
            quantity: self.quantity.unwrap_or(NonNegative::from(1)),
            amount_total: self.amount_total,
            grant: None,
        };
        if let Some(price) = self.price {
            line.price_id = Some(price.id.into_string());
            line.grant = Grant::from_metadata("price.metadata", &price.metadata).ok().flatten();
            match price.product {
                Some(Product::Id(id)) => line.product_id = Some(id.into_string()),
                Some(Product::Expanded { id, metadata }) => {
                    line.product_id = Some(id.into_string());
                    let of_product = || Grant::from_metadata("product.metadata", &metadata).ok().flatten();
                    line.grant = line.grant.or_else(of_product);
                }
                None => {}
            }
        }
        line
    }
}
