//! From a proven body to its outcome: the one path that the webhook and `reconcile` share.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use time::OffsetDateTime;

use super::checkout_session::Line;
use super::effect::{Effect, Understood};
use super::envelope::Event;
use super::field::Text;
use super::inbox::{Recorded, Source, WriteError, record_applied, record_failed, record_ignored};
use super::tie;
use crate::db::Statements;

/// Somebody waits for the webhook's answer; what takes longer than this is tried again later.
const LINE_ITEMS_TIMEOUT: Duration = Duration::from_secs(3);

/// Where the lines of a checkout session are fetched.
pub trait LineItems {
    /// Why they could not be.
    type Error: Error + Send + Sync;

    /// The lines of a session, in a connected account where one is named, in Stripe's order.
    fn of_session(
        &self,
        session: &str,
        account: Option<&str>,
    ) -> impl Future<Output = Result<Vec<Line>, Self::Error>> + Send;
}

/// Which events are ours to apply. Others are kept and ignored: a Connect endpoint receives both modes.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Whether this installation is about real money.
    pub livemode: bool,
    /// The connected accounts whose events are applied.
    pub accounts: Accounts,
}

/// Connected accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accounts {
    /// None: only the platform's own events.
    None,
    /// These.
    Listed(Vec<String>),
    /// All that send events.
    All,
}

impl Accounts {
    /// Whether events of `account` (`None`: the platform itself) are applied.
    pub fn include(&self, account: Option<&str>) -> bool {
        match (self, account) {
            (Self::All, _) | (_, None) => true,
            (Self::None, Some(_)) => false,
            (Self::Listed(listed), Some(account)) => listed.iter().any(|id| id == account),
        }
    }
}

impl std::str::FromStr for Accounts {
    type Err = String;

    /// `none`, `all`, or account ids separated by commas.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "all" => Ok(Self::All),
            _ => text
                .split(',')
                .map(str::trim)
                .map(
                    |id| if id.starts_with("acct_") { Ok(id.to_owned()) } else { Err(expected_accounts(id)) },
                )
                .collect::<Result<_, _>>()
                .map(Self::Listed),
        }
    }
}

fn expected_accounts(found: &str) -> String {
    format!("{found:?} is not an account id; expected none, all, or acct_… separated by commas")
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Recorded, with its effects.
    Applied,
    /// It had been settled before; nothing was written.
    Duplicate,
    /// Kept without effect, for this reason.
    Ignored(String),
    /// Kept for another try, for this reason.
    Failed(String),
    /// Kept; all tries are used up, and a person must look at it.
    Dead(String),
}

/// What is said of an event once it is committed. It holds nothing of what was paid, or by whom.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// The event's id, as it is filed.
    pub event_id: String,
    /// Its type.
    pub event_type: String,
    /// When it happened, where it says so.
    pub created: Option<OffsetDateTime>,
    /// What became of it.
    pub outcome: Outcome,
}

/// Receives a body whose origin is proven, and returns once its outcome is committed.
///
/// # Errors
/// Only where nothing could be committed: the sender must send again.
pub async fn receive(
    connection: &mut impl Statements,
    line_items: &impl LineItems,
    rules: &Rules,
    source: Source,
    body: &[u8],
) -> Result<Receipt, WriteError> {
    let event = Event::read(body);
    let outcome = match decide(&event, line_items, rules).await {
        Decision::Apply(effect) => match record_applied(connection, &event, &effect, source).await {
            Ok(Recorded { applied, tied }) => {
                // It is committed, and its object marked: what cannot be settled now, the retry run asks.
                if tied && let Err(error) = tie::settle(connection.connection(), &event, &effect).await {
                    tracing::warn!(event_id = event.id, %error, "object stays marked");
                }
                if applied { Outcome::Applied } else { Outcome::Duplicate }
            }
            Err(WriteError::Rejected(reason)) => fail(connection, &event, rules, source, reason).await?,
            Err(error) => return Err(error),
        },
        Decision::Ignore(reason) => match record_ignored(connection, &event, source, &reason).await? {
            true => Outcome::Ignored(reason),
            false => Outcome::Duplicate,
        },
        Decision::Fail(reason) => fail(connection, &event, rules, source, reason).await?,
    };
    Ok(Receipt { event_id: event.id, event_type: event.kind, created: event.created, outcome })
}

enum Decision {
    Apply(Box<Effect>),
    Ignore(String),
    Fail(String),
}

async fn decide(event: &Event<'_>, line_items: &impl LineItems, rules: &Rules) -> Decision {
    let account = event.account.as_ref().map(Text::as_str);
    if let (Some(livemode), Some(_)) = (event.livemode, event.created) {
        if livemode != rules.livemode {
            let (of_event, ours) = if rules.livemode { ("test", "live") } else { ("live", "test") };
            return Decision::Ignore(format!("a {of_event} mode event; this installation is in {ours} mode"));
        }
        if !rules.accounts.include(account) {
            return Decision::Ignore("an event of a connected account that is not configured".to_owned());
        }
        if event.kind.starts_with("v1.") || event.kind.starts_with("v2.") {
            return Decision::Ignore("a thin event; it has no object to apply".to_owned());
        }
    }
    let object = match &event.object {
        Ok(object) => object,
        Err(fault) => return Decision::Fail(fault.to_string()),
    };
    let mut effect = match Effect::read(&event.kind, object) {
        Ok(Understood::Effect(effect)) => effect,
        Ok(Understood::Ignored(reason)) => return Decision::Ignore(reason.to_owned()),
        Err(fault) => return Decision::Fail(fault.to_string()),
    };
    if let Effect::CheckoutSession(session) = &mut effect
        && let Some(id) = session.awaits_lines()
    {
        match tokio::time::timeout(LINE_ITEMS_TIMEOUT, line_items.of_session(id, account)).await {
            Ok(Ok(lines)) => session.set_lines(lines),
            Ok(Err(error)) => return Decision::Fail(format!("fetch line items: {error}")),
            Err(_) => {
                return Decision::Fail("fetch line items: Stripe did not answer within 3 seconds".to_owned());
            }
        }
    }
    Decision::Apply(Box::new(effect))
}

async fn fail(
    connection: &mut impl Statements,
    event: &Event<'_>,
    rules: &Rules,
    source: Source,
    reason: String,
) -> Result<Outcome, WriteError> {
    Ok(match record_failed(connection, event, rules.livemode, source, &reason).await? {
        Some(false) => Outcome::Failed(reason),
        Some(true) => Outcome::Dead(reason),
        None => Outcome::Duplicate,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_none_all_or_listed() {
        assert_eq!("none".parse(), Ok(Accounts::None));
        assert_eq!("all".parse(), Ok(Accounts::All));
        assert_eq!("acct_1, acct_2".parse(), Ok(Accounts::Listed(vec!["acct_1".into(), "acct_2".into()])));
        assert!("everything".parse::<Accounts>().is_err());
    }
}
