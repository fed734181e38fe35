//! Which accounts are compared: the platform's own, and the connected ones that `STRIPE_ACCOUNTS` says.

use recoup::events::field::{Id, read};
use recoup::events::receive::{Accounts, Rules};
use recoup::failure::Failure;
use recoup::stripe::Client;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::finding::{Finding, Kind};
use crate::list::List;

/// An account: `None` is the platform's own, for which requests name none.
pub type Account = Option<String>;

/// Where an invocation stopped: the accounts before this one are done, and this one down to `to`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// The account; `None` is the platform's own.
    pub account: Option<String>,
    /// The last second of it that is not compared yet.
    #[serde(with = "time::serde::rfc3339")]
    pub to: OffsetDateTime,
}

impl Cursor {
    /// The last second of an account that is still to be compared, of a window that ends at `end`; `None` where all of it
    /// is done.
    pub fn left_of(cursor: Option<&Self>, account: &Account, end: OffsetDateTime) -> Option<OffsetDateTime> {
        match cursor {
            // `None`, the platform's own account, comes first in this order as well.
            Some(cursor) if *account < cursor.account => None,
            Some(cursor) if *account == cursor.account => Some(cursor.to.min(end)),
            _ => Some(end),
        }
    }
}

/// The accounts to compare, in a stable order, the platform's own first. `asked` is the one that a request names.
///
/// # Errors
/// `InvalidRequest` where events of the account that was asked for are not applied here; why Stripe did not list
/// connected accounts.
pub async fn compared(client: &Client, rules: &Rules, asked: Option<&str>) -> Result<Vec<Account>, Failure> {
    if let Some(asked) = asked {
        let ours = rules.accounts.include(Some(asked));
        return if ours { Ok(vec![Some(asked.to_owned())]) } else { Err(not_ours(asked)) };
    }
    let mut accounts = match &rules.accounts {
        Accounts::None => Vec::new(),
        Accounts::Listed(listed) => listed.clone(),
        Accounts::All => connected(client).await?,
    };
    accounts.sort();
    accounts.dedup();
    Ok(std::iter::once(None).chain(accounts.into_iter().map(Some)).collect())
}

async fn connected(client: &Client) -> Result<Vec<String>, Failure> {
    #[derive(Deserialize)]
    struct Head {
        id: Id,
    }
    let mut pages = List::of(client, None, "/v1/accounts", &[]);
    let mut ids = Vec::new();
    while let Some(page) = pages.next().await? {
        // What has no id cannot be asked for anything.
        let heads = page.iter().filter_map(|text| read::<Head>("account", text).ok());
        ids.extend(heads.map(|head| head.id.into_string()));
    }
    Ok(ids)
}

fn not_ours(asked: &str) -> Failure {
    Failure::invalid_request(format!(
        "account {asked}: STRIPE_ACCOUNTS does not have it, so that nothing of it is kept here; leave account out for the \
         platform's own"
    ))
}

/// Stripe lets us into our own account, and not into this one.
pub fn left(account: &str) -> Finding {
    Finding::of(Kind::MissingThere, "account", account, Some(account)).because(left_words(account))
}

/// The same in words.
pub fn left_words(account: &str) -> String {
    format!(
        "Stripe has no access to account {account} for us: it left the platform, or never was connected, and was not \
         compared; take it out of STRIPE_ACCOUNTS"
    )
}
