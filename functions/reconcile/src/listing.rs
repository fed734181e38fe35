//! Stripe's event list, page by page, newest first. The request is async-stripe's; the reply is split into the
//! events' own texts, so that each is kept to the byte and an odd one never costs its page.

use recoup::failure::Failure;
use recoup::stripe::Client;
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

/// The pages of a window.
pub struct Pages<'c> {
    client: &'c Client,
    request: Option<ListEvent>,
}

impl<'c> Pages<'c> {
    /// All events of a window, its ends included.
    pub fn of(client: &'c Client, window: &Window) -> Self {
        let created = RangeQueryTs::Bounds(RangeBoundsTs {
            gte: Some(window.from.unix_timestamp()),
            lte: Some(window.to.unix_timestamp()),
            ..RangeBoundsTs::default()
        });
        Self { client, request: Some(ListEvent::new().created(created).limit(PAGE_EVENTS_MAX)) }
    }

    /// The next page; `None` after the last.
    ///
    /// # Errors
    /// Why Stripe did not answer.
    pub async fn next(&mut self) -> Result<Option<Vec<Listed>>, Failure> {
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
        let body = self.client.get(&path, None).await?;
        let unreadable = |error: serde_json::Error| {
            Failure::new(
                "StripeRefused",
                format!(
                    "list events: Stripe's answer cannot be read at line {}; report it to us",
                    error.line()
                ),
            )
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
