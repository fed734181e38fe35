//! Stripe's lists of objects: a family's list in slices of time, each read page by page, newest first.

use recoup::events::reading::{Family, Head};
use recoup::stripe::{Answer, Asked, Client, StripeError, encoded};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;

use crate::request::instant_required;

/// As many as Stripe gives at once.
pub const PAGE_OBJECTS_MAX: usize = 100;

/// Since this API version an invoice's payments are objects of their own.
const INVOICE_PAYMENTS_SINCE: &str = "2025-03-31";

/// Since this API version a payment intent names its latest charge.
const LATEST_CHARGE_SINCE: &str = "2022-11-15";

/// A part of a family's list that is still to be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    /// Stripe's name of the family.
    #[serde(rename = "object", with = "family_name")]
    pub family: Family,
    /// The connected account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The first second; `None` for all that there ever was.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub from: Option<OffsetDateTime>,
    /// The last second.
    #[serde(serialize_with = "time::serde::rfc3339::serialize", deserialize_with = "instant_required")]
    pub to: OffsetDateTime,
    /// Behind which object the next page begins.
    #[serde(skip)]
    pub after: Option<String>,
}

mod family_name {
    use recoup::events::reading::Family;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(family: &Family, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(family.object())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Family, D::Error> {
        let name = String::deserialize(deserializer)?;
        Family::of_object(&name)
            .ok_or_else(|| D::Error::custom(format!("{name:?} is no object that is compared")))
    }
}

/// Whether Stripe lists this family in the shapes of that version.
pub fn is_listed(family: Family, version: &str) -> bool {
    family != Family::InvoicePayment || version >= INVOICE_PAYMENTS_SINCE
}

/// Whether a family's list is short, and read whole unless a window is asked for: its objects live for years, or the lines
/// of every sale refer to them.
pub fn is_read_whole(family: Family, asked_from: bool) -> bool {
    match family {
        Family::Product | Family::Price => true,
        Family::Account | Family::Subscription => !asked_from,
        _ => false,
    }
}

/// A page.
#[derive(Debug)]
pub struct Page {
    /// The slice as it was when this page was asked for.
    pub slice: Slice,
    /// Its objects, each as its own text.
    pub objects: Vec<Box<RawValue>>,
    /// Whether there are more.
    pub has_more: bool,
    /// The last second of which it knows all.
    pub knows_until: OffsetDateTime,
    /// By how many seconds our clock is ahead of Stripe's.
    pub ahead_seconds: i64,
    /// How many requests it took.
    pub calls: u64,
}

impl Page {
    /// What is left of the slice behind this page.
    pub fn next(&self) -> Option<Slice> {
        if !self.has_more {
            return None;
        }
        let heads = self.objects.iter().rev().filter_map(|object| Head::read(object).ok());
        let last = heads.into_iter().next()?;
        let to = last.created.map_or(self.slice.to, |created| created.0.min(self.slice.to));
        Some(Slice { after: Some(last.id.into_string()), to, ..self.slice.clone() })
    }

    /// When its last object was made.
    pub fn last_created(&self) -> Option<OffsetDateTime> {
        let mut heads = self.objects.iter().rev().filter_map(|object| Head::read(object).ok());
        heads.find_map(|head| head.created).map(|created| created.0)
    }
}

/// Asks for the next page of a slice.
///
/// # Errors
/// The slice, and why Stripe did not answer.
pub async fn next_page(
    client: Client,
    mut slice: Slice,
    version: String,
) -> Result<Page, (Slice, StripeError)> {
    let mut calls = 1;
    let mut answer = ask(&client, &slice, &version).await;
    // The object behind which the page was to begin was deleted meanwhile: its second is read once more.
    if slice.after.is_some()
        && matches!(&answer, Err(StripeError::Refused { code, .. }) if code == "resource_missing")
    {
        slice.after = None;
        calls += 1;
        answer = ask(&client, &slice, &version).await;
    }
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Err((slice, error)),
    };
    #[derive(Deserialize)]
    struct Body {
        data: Vec<Box<RawValue>>,
        has_more: bool,
    }
    match serde_json::from_slice::<Body>(&answer.body) {
        Ok(Body { data, has_more }) => {
            let Answer { knows_until, ahead_seconds, .. } = answer;
            Ok(Page {
                slice,
                has_more: has_more && !data.is_empty(),
                objects: data,
                knows_until,
                ahead_seconds,
                calls,
            })
        }
        Err(error) => {
            let reason = format!("it is no list, at line {}", error.line());
            let path = slice.family.path();
            Err((slice, StripeError::Unreadable { path, reason }))
        }
    }
}

async fn ask(client: &Client, slice: &Slice, version: &str) -> Result<Answer, StripeError> {
    let asked = Asked { account: slice.account.as_deref(), version: Some(version) };
    client.read(&path(slice, version), asked).await
}

/// Path and query of the next page.
fn path(slice: &Slice, version: &str) -> String {
    let mut path = format!("{}?limit={PAGE_OBJECTS_MAX}", slice.family.path());
    if let Some(from) = slice.from {
        path += &format!("&created[gte]={}", from.unix_timestamp());
    }
    path += &format!("&created[lte]={}", slice.to.unix_timestamp());
    match slice.family {
        // By default it lists those that have not ended.
        Family::Subscription => path += "&status=all",
        // Events tell of an invoice's payment once it is paid.
        Family::InvoicePayment => path += "&status=paid",
        Family::CheckoutSession => {
            path += "&expand[]=data.line_items&expand[]=data.subscription&expand[]=data.payment_intent";
            if version >= LATEST_CHARGE_SINCE {
                path += ".latest_charge.balance_transaction";
            }
        }
        Family::Invoice if version >= INVOICE_PAYMENTS_SINCE => path += "&expand[]=data.payments",
        _ => {}
    }
    if let Some(after) = &slice.after {
        path += &format!("&starting_after={}", encoded(after));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_page_is_asked_for_as_stripe_wants_it() {
        let slice = Slice {
            family: Family::CheckoutSession,
            account: None,
            from: Some(datetime!(2026-11-20 00:00 UTC)),
            to: datetime!(2026-11-21 00:00 UTC),
            after: Some("cs_test_a1&b".to_owned()),
        };
        assert_eq!(
            path(&slice, "2026-09-30.endive"),
            "/v1/checkout/sessions?limit=100&created[gte]=1795132800&created[lte]=1795219200&expand[]=data.line_items\
             &expand[]=data.subscription&expand[]=data.payment_intent.latest_charge.balance_transaction\
             &starting_after=cs_test_a1%26b"
        );
        assert!(!path(&slice, "2019-12-03").contains("latest_charge"));
        assert!(is_listed(Family::Invoice, "2019-12-03") && !is_listed(Family::InvoicePayment, "2019-12-03"));
    }

    #[test]
    fn a_slice_goes_out_and_comes_back() {
        let slice = Slice {
            family: Family::Charge,
            account: Some("acct_1".to_owned()),
            from: None,
            to: datetime!(2026-11-21 00:00 UTC),
            after: None,
        };
        let json = serde_json::to_value(&slice).expect("json");
        assert_eq!(
            json,
            serde_json::json!({"object": "charge", "account": "acct_1", "to": "2026-11-21T00:00:00Z"})
        );
        assert_eq!(serde_json::from_value::<Slice>(json).expect("a slice"), slice);
        let wrong = serde_json::json!({"object": "sun", "to": "2026-11-21T00:00:00Z"});
        assert!(serde_json::from_value::<Slice>(wrong).is_err());
    }
}
