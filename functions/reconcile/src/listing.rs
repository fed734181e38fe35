//! Stripe's event list, page by page, newest first. The request is async-stripe's; the reply is split into the
//! events' own texts, so that each is kept to the byte and an odd one never costs its page.

use std::borrow::Cow;

use recoup::stripe::{Client, StripeError};
use serde::Deserialize;
use serde_json::value::RawValue;
use stripe::StripeRequest;
use stripe_core::event::ListEvent;
use stripe_types::{RangeBoundsTs, RangeQueryTs};

use crate::request::Window;

/// As many as Stripe gives at once.
const PAGE_EVENTS_MAX: i64 = 100;

/// An event as it was listed.
pub struct Listed {
    /// Its id.
    pub id: String,
    /// When it happened, in seconds since 1970, where it says so.
    pub created: Option<i64>,
    /// The whole event, as JSON.
    pub text: Box<RawValue>,
}

impl Listed {
    /// The event as a delivery has it. In a connected account's own list nothing says which account it is of.
    pub fn body(&self, of: Option<&str>) -> Cow<'_, str> {
        #[derive(Deserialize)]
        struct Said<'t> {
            #[serde(borrow)]
            account: Option<&'t RawValue>,
        }
        let text = self.text.get();
        let says = serde_json::from_str::<Said<'_>>(text).is_ok_and(|said| said.account.is_some());
        match (of, text.trim_start().strip_prefix('{')) {
            (Some(account), Some(rest)) if !says => {
                format!("{{\"account\":{},{rest}", serde_json::Value::from(account)).into()
            }
            _ => text.into(),
        }
    }
}

/// The pages of a window.
pub struct Pages<'c> {
    client: &'c Client,
    account: Option<&'c str>,
    request: Option<ListEvent>,
}

impl<'c> Pages<'c> {
    /// All events of a window, its ends included: the platform's own, or those of a connected account.
    pub fn of(client: &'c Client, account: Option<&'c str>, window: &Window) -> Self {
        let created = RangeQueryTs::Bounds(RangeBoundsTs {
            gte: Some(window.from.unix_timestamp()),
            lte: Some(window.to.unix_timestamp()),
            ..RangeBoundsTs::default()
        });
        Self { client, account, request: Some(ListEvent::new().created(created).limit(PAGE_EVENTS_MAX)) }
    }

    /// The next page; `None` after the last.
    ///
    /// # Errors
    /// Why Stripe did not answer.
    pub async fn next(&mut self) -> Result<Option<Vec<Listed>>, StripeError> {
        #[derive(Deserialize)]
        struct Page {
            data: Vec<Box<RawValue>>,
            has_more: bool,
        }
        #[derive(Deserialize)]
        struct Head {
            id: String,
            created: Option<i64>,
        }
        let Some(request) = self.request.take() else { return Ok(None) };
        let built = request.build();
        let path = format!("/v1{}?{}", built.path, built.query.unwrap_or_default());
        let body = self.client.get(&path, self.account).await?;
        let unreadable = |error: serde_json::Error| StripeError::Unreadable {
            path: "/v1/events".to_owned(),
            reason: format!("at line {}; report it to us", error.line()),
        };
        let page: Page = serde_json::from_slice(&body).map_err(unreadable)?;
        let mut listed = Vec::with_capacity(page.data.len());
        for text in page.data {
            let Head { id, created } = serde_json::from_str(text.get()).map_err(unreadable)?;
            listed.push(Listed { id, created, text });
        }
        self.request = match listed.last() {
            Some(last) if page.has_more => Some(request.starting_after(last.id.clone())),
            _ => None,
        };
        Ok(Some(listed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_an_account_says_so_as_its_delivery_does() {
        let listed = |text: &str| {
            let text = RawValue::from_string(text.to_owned()).expect("json");
            Listed { id: "evt_1".to_owned(), created: None, text }
        };
        let silent = listed(r#"{"id":"evt_1", "object":"event"}"#);
        assert_eq!(silent.body(Some("acct_1")), r#"{"account":"acct_1","id":"evt_1", "object":"event"}"#);
        assert_eq!(silent.body(None), r#"{"id":"evt_1", "object":"event"}"#);
        let said = listed(r#"{"id":"evt_1","account":"acct_1"}"#);
        assert_eq!(said.body(Some("acct_1")), r#"{"id":"evt_1","account":"acct_1"}"#);
    }
}
