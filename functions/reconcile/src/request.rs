//! What `reconcile` can be asked, and the window that it means.

use recoup::failure::Failure;
use recoup::invocation::Request;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::balance;

/// Stripe lists events for 30 days (Stripe documentation, "List all events").
pub const LISTED_FOR: Duration = Duration::days(30);

/// A default window begins this much before the end of the last one: Stripe may list an event some seconds after
/// the second that it bears.
const OVERLAP: Duration = Duration::minutes(10);

/// A request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReconcileRequest {
    /// What to do.
    pub action: Action,
    /// Where the window begins, included; default: where the last good run ended, or 30 days ago.
    #[serde(default, deserialize_with = "instant")]
    pub from: Option<OffsetDateTime>,
    /// Where the window ends, included; default: now.
    #[serde(default, deserialize_with = "instant")]
    pub to: Option<OffsetDateTime>,
    /// Whether to say only what would be applied; the default.
    #[serde(default = "dry")]
    pub dry_run: bool,
    /// `retry` of this one event; needs `actor` and `reason`.
    #[serde(default)]
    pub event_id: Option<String>,
    /// Who asks for it.
    #[serde(default)]
    pub actor: Option<String>,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// `balance` of this one connected account; default: the platform's own and those of `STRIPE_ACCOUNTS`.
    #[serde(default)]
    pub account: Option<String>,
    /// `balance`: where an invocation before stopped, from its `remaining`.
    #[serde(default)]
    pub cursor: Option<balance::Cursor>,
}

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Stripe's event list against the inbox.
    Events,
    /// Stripe's balance transactions and payouts against the ledger.
    Balance,
    /// Stripe's webhook endpoint and the last day's deliveries.
    Endpoint,
    /// What waits for another try: failed events that are due, objects whose order is open, unmapped lines.
    Retry,
}

/// One event that a person has tried again.
#[derive(Debug)]
pub struct Reset {
    /// The event.
    pub event_id: String,
    /// Who asks for it.
    pub actor: String,
    /// Why.
    pub reason: String,
}

impl Request for ReconcileRequest {
    const ACCEPTS: &'static str = "action (\"events\", \"balance\", \"endpoint\" or \"retry\"), from and to (instants such as 2026-11-20T00:00:00Z; \
        default: since the last good run, until now), dry_run (default true: \
        nothing is changed); with balance: account (acct_...), and cursor from a reply's remaining; with retry: \
        event_id, actor and reason, for one event";
    const EXAMPLE: &'static str = r#"{"action":"events","from":"2026-11-20T00:00:00Z","dry_run":true}"#;
}

/// A span of time, both ends included, in whole seconds as Stripe counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first second.
    pub from: OffsetDateTime,
    /// The last second.
    pub to: OffsetDateTime,
    /// Whether what was asked for begins before Stripe's list does.
    pub begins_before_the_list: bool,
}

impl ReconcileRequest {
    /// Refuses what does not belong to the action.
    ///
    /// # Errors
    /// `InvalidRequest`, naming it.
    pub fn checked(self) -> Result<Self, Failure> {
        let balance = self.action == Action::Balance;
        let retry = self.action == Action::Retry;
        let misplaced = [
            ("account", self.account.is_some() && !balance, "balance"),
            ("cursor", self.cursor.is_some() && !balance, "balance"),
            ("event_id, actor and reason", self.names_an_event() && !retry, "retry"),
            ("from and to", self.names_a_window() && (retry || self.action == Action::Endpoint), "events and balance"),
        ];
        match misplaced.into_iter().find(|(_, misplaced, _)| *misplaced) {
            None => Ok(self),
            Some((what, _, action)) => Err(Failure::invalid_request(format!(
                "{what} cannot be given here: only {action} can use it"
            ))),
        }
    }

    fn names_an_event(&self) -> bool {
        self.event_id.is_some() || self.actor.is_some() || self.reason.is_some()
    }

    fn names_a_window(&self) -> bool {
        self.from.is_some() || self.to.is_some()
    }

    /// The one event that a `retry` is for; `None` where it is for all that are due.
    ///
    /// # Errors
    /// `InvalidRequest` where a part is missing or does not belong to the action.
    pub fn reset(&self) -> Result<Option<Reset>, Failure> {
        let given = |text: &Option<String>| {
            text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        match (given(&self.event_id), given(&self.actor), given(&self.reason)) {
            (None, None, None) => Ok(None),
            (Some(event_id), Some(actor), Some(reason)) => Ok(Some(Reset { event_id, actor, reason })),
            _ => Err(Failure::invalid_request(
                "the retry of one event needs event_id, actor and reason. Example: {\"action\":\"retry\",\
                 \"event_id\":\"evt_1\",\"actor\":\"ada\",\"reason\":\"the price has its metadata now\",\"dry_run\":false}",
            )),
        }
    }

    /// The window that is meant, at `now`, after a last good run that ended at `last`.
    ///
    /// # Errors
    /// `InvalidRequest` where it ends before it begins, or lies before all that Stripe still lists.
    pub fn window(&self, now: OffsetDateTime, last: Option<OffsetDateTime>) -> Result<Window, Failure> {
        let oldest_listed = now - LISTED_FOR;
        let asked_from = self.from.or(last.map(|last| last - OVERLAP)).unwrap_or(oldest_listed);
        let to = self.to.unwrap_or(now).min(now);
        if self.from.is_some_and(|from| from > to) {
            return Err(Failure::invalid_request(
                "the window ends before it begins: from must not be after to, nor after now",
            ));
        }
        if to < oldest_listed {
            return Err(Failure::invalid_request(
                "the window lies more than 30 days back, and Stripe no longer lists events from then",
            ));
        }
        Ok(Window {
            from: asked_from.max(oldest_listed).min(to),
            to,
            begins_before_the_list: asked_from < oldest_listed - Duration::minutes(1),
        })
    }
}

fn dry() -> bool {
    true
}

fn instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<OffsetDateTime>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let expected =
        "expected an instant with its zone, such as 2026-11-20T00:00:00Z or 2026-11-20T01:00:00+01:00";
    OffsetDateTime::parse(&text, &Rfc3339)
        .map(Some)
        .map_err(|_| D::Error::custom(format!("{text:?}: {expected}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use recoup::invocation::parse;
    use serde_json::json;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

    fn window(payload: serde_json::Value, last: Option<OffsetDateTime>) -> Result<Window, Failure> {
        parse::<ReconcileRequest>(payload)?.window(NOW, last)
    }

    #[test]
    fn the_example_is_accepted_and_dry() {
        let example = serde_json::from_str(ReconcileRequest::EXAMPLE).expect("json");
        assert!(parse::<ReconcileRequest>(example).expect("accepted").dry_run);
    }

    #[test]
    fn what_does_not_belong_to_the_action_is_refused() {
        let checked = |payload| parse::<ReconcileRequest>(payload).and_then(ReconcileRequest::checked);
        let cursor = json!({"account": null, "to": "2026-11-20T00:00:00Z"});
        assert!(checked(json!({"action": "balance", "account": "acct_1", "cursor": cursor})).is_ok());
        for (payload, named) in [
            (json!({"action": "events", "account": "acct_1"}), "account"),
            (json!({"action": "endpoint", "cursor": cursor}), "cursor"),
            (json!({"action": "endpoint", "from": "2026-11-20T00:00:00Z"}), "from and to"),
            (json!({"action": "retry", "to": "2026-11-20T00:00:00Z"}), "from and to"),
            (json!({"action": "balance", "event_id": "evt_1"}), "event_id"),
            (json!({"action": "balance", "cursor": {"account": 1}}), "cursor"),
        ] {
            let failure = checked(payload).expect_err("refused");
            assert_eq!(failure.error_type(), "InvalidRequest");
            assert!(named == "cursor" || failure.to_string().contains(named), "{failure}");
        }
    }

    #[test]
    fn the_default_window_overlaps_the_last_good_run() {
        let last = datetime!(2026-11-21 11:00 UTC);
        let found = window(json!({"action": "events"}), Some(last)).expect("a window");
        assert_eq!((found.from, found.to), (datetime!(2026-11-21 10:50 UTC), NOW));
        let first = window(json!({"action": "events"}), None).expect("a window");
        assert_eq!((first.from, first.begins_before_the_list), (datetime!(2026-10-22 12:00 UTC), false));
    }

    #[test]
    fn a_gap_that_stripe_no_longer_lists_is_said() {
        let found =
            window(json!({"action": "events", "from": "2026-01-01T00:00:00Z"}), None).expect("a window");
        assert!(found.begins_before_the_list);
        assert_eq!(found.from, NOW - LISTED_FOR);
        assert!(window(json!({"action": "events", "to": "2026-01-01T00:00:00Z"}), None).is_err());
    }

    #[test]
    fn a_wrong_window_is_refused() {
        for (from, to) in [
            ("2026-11-20T00:00:00Z", "2026-11-19T00:00:00Z"),
            ("2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z"),
        ] {
            assert!(window(json!({"action": "events", "from": from, "to": to}), None).is_err());
        }
        for from in ["2026-11-20", "2026-11-20T00:00:00", "yesterday", ""] {
            let failure = window(json!({"action": "events", "from": from}), None).expect_err("refused");
            assert!(failure.to_string().contains("with its zone"), "{failure}");
        }
    }
}
