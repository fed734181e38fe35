//! Any of Stripe's lists, page by page, newest first, each object as its own text: one that cannot be read never costs
//! its page.

use recoup::events::field::Id;
use recoup::failure::Failure;
use recoup::stripe::{Client, StripeError, encoded};
use serde::Deserialize;
use serde_json::value::RawValue;

/// As many as Stripe gives at once.
const PAGE_MAX: usize = 100;

/// The pages of one list.
pub struct List<'c> {
    client: &'c Client,
    account: Option<&'c str>,
    path: &'static str,
    query: String,
    after: Option<String>,
    ended: bool,
}

impl<'c> List<'c> {
    /// The list at `path` (`/v1/payouts`), in a connected account where one is named, filtered by `filters`.
    pub fn of(
        client: &'c Client,
        account: Option<&'c str>,
        path: &'static str,
        filters: &[(&'static str, &str)],
    ) -> Self {
        let mut query = format!("limit={PAGE_MAX}");
        for (name, value) in filters {
            query.push_str(&format!("&{}={}", encoded(name), encoded(value)));
        }
        Self { client, account, path, query, after: None, ended: false }
    }

    /// Whether the last page was given.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// The next page; `None` after the last.
    ///
    /// # Errors
    /// Why Stripe did not answer; `StripeRefused` where the page as a whole cannot be read.
    pub async fn next(&mut self) -> Result<Option<Vec<Box<RawValue>>>, StripeError> {
        #[derive(Deserialize)]
        struct Page {
            data: Vec<Box<RawValue>>,
            #[serde(default)]
            has_more: bool,
        }
        #[derive(Deserialize)]
        struct Head {
            id: Id,
        }
        if self.ended {
            return Ok(None);
        }
        let after =
            self.after.as_deref().map_or(String::new(), |id| format!("&starting_after={}", encoded(id)));
        let body = self.client.get(&format!("{}?{}{after}", self.path, self.query), self.account).await?;
        let unreadable = |error: serde_json::Error| StripeError::Unreadable {
            path: self.path.to_owned(),
            reason: format!("at line {}, column {}; report it to us", error.line(), error.column()),
        };
        let page: Page = serde_json::from_slice(&body).map_err(unreadable)?;
        match page.data.last() {
            Some(last) if page.has_more => {
                let last: Head = serde_json::from_str(last.get()).map_err(unreadable)?;
                self.after = Some(last.id.into_string());
            }
            _ => self.ended = true,
        }
        Ok(Some(page.data))
    }
}

/// An object by its id; `None` where Stripe has none.
///
/// # Errors
/// Why Stripe did not answer.
pub async fn object(
    client: &Client,
    account: Option<&str>,
    path: &str,
    id: &str,
) -> Result<Option<Box<RawValue>>, Failure> {
    let path = format!("{path}/{}", encoded(id));
    match client.get(&path, account).await {
        Ok(body) => serde_json::from_slice(&body).map(Some).map_err(|error| {
            let reason = format!("at line {}; report it to us", error.line());
            StripeError::Unreadable { path, reason }.into()
        }),
        Err(StripeError::Refused { status, .. }) if status.as_u16() == 404 => Ok(None),
        Err(error) => Err(error.into()),
    }
}
