//! What `reconcile` can be asked, and the window that it means.

use std::collections::BTreeMap;

use recoup::audit::dry;
use recoup::events::receive::Accounts;
use recoup::failure::Failure;
use recoup::invocation::Request;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::accounts::Cursor;
use crate::objects::Slice;

/// Stripe lists events for 30 days (Stripe documentation, "List all events").
pub const LISTED_FOR: Duration = Duration::days(30);

/// A default window begins this much before the end of the last one: Stripe may list an event some seconds after
/// the second that it bears.
const OVERLAP: Duration = Duration::minutes(10);

/// A gap of this length is nearly one that Stripe's list does not reach back over.
const NEARLY: Duration = Duration::days(25);

/// The default window of `objects` begins this much before the end of the last one: most objects change for some days
/// after they were made, by time, banks and buyers.
const OBJECTS_OVERLAP: Duration = Duration::days(7);

/// The default window of the first run of `objects`.
const OBJECTS_FIRST: Duration = Duration::days(90);

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
    /// `events`, `objects` and `balance` of this connected account alone.
    #[serde(default)]
    pub account: Option<String>,
    /// `objects` that have this metadata.
    #[serde(default)]
    pub metadata: Option<BTreeMap<String, String>>,
    /// What an earlier run of `objects` left, as its `remaining` has it.
    #[serde(default)]
    pub left: Option<Vec<Slice>>,
    /// `events` and `balance`: where an invocation before stopped, as its `remaining` has it.
    #[serde(default)]
    pub cursor: Option<Cursor>,
}

/// What `objects` is asked beside its window.
#[derive(Debug)]
pub struct ObjectsRequest {
    /// Only this connected account.
    pub account: Option<String>,
    /// Only objects with this metadata.
    pub metadata: Option<BTreeMap<String, String>>,
    /// What an earlier run left.
    pub left: Option<Vec<Slice>>,
    /// Whether the window's beginning was asked for.
    pub asked_from: bool,
    /// Who asks for it.
    pub actor: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Stripe's event list against the inbox.
    Events,
    /// Stripe's objects against the rows.
    Objects,
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
    const ACCEPTS: &'static str = "action (\"events\", \"objects\", \"balance\", \"endpoint\" or \"retry\"), from and to \
        (instants such as 2026-11-20T00:00:00Z; default: since the last good run, until now), dry_run (default true: \
        nothing is changed); with events, objects and balance: account (a connected one alone); with objects: metadata \
        ({\"key\":\"value\"}), actor and reason, left (of a run's remaining); with events and balance: cursor (of a run's \
        remaining); with retry: event_id, actor and reason, for one event";
    const EXAMPLE: &'static str = r#"{"action":"events","from":"2026-11-20T00:00:00Z","dry_run":true}"#;
}

/// A span of time, both ends included, in whole seconds as Stripe counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first second.
    pub from: OffsetDateTime,
    /// The last second.
    pub to: OffsetDateTime,
}

impl ReconcileRequest {
    /// The one event that a `retry` is for; `None` where it is for all that are due.
    ///
    /// # Errors
    /// `InvalidRequest` where a part is missing or does not belong to the action.
    pub fn reset(&self) -> Result<Option<Reset>, Failure> {
        match (given(&self.event_id), given(&self.actor), given(&self.reason)) {
            (None, None, None) => Ok(None),
            (Some(event_id), Some(actor), Some(reason)) => Ok(Some(Reset { event_id, actor, reason })),
            _ => Err(Failure::invalid_request(
                "the retry of one event needs event_id, actor and reason. Example: {\"action\":\"retry\",\
                 \"event_id\":\"evt_1\",\"actor\":\"ada\",\"reason\":\"the price has its metadata now\",\"dry_run\":false}",
            )),
        }
    }

    /// What `objects` is asked beside its window.
    ///
    /// # Errors
    /// `InvalidRequest` where a part belongs to another action, or names an account that is not ours.
    pub fn objects(&self, accounts: &Accounts) -> Result<ObjectsRequest, Failure> {
        if let Some(account) = &self.account
            && !accounts.include(Some(account))
        {
            return Err(Failure::invalid_request(format!(
                "account {account} is none of ours: its events are not applied, and so its objects are not compared; \
                 put it into STRIPE_ACCOUNTS"
            )));
        }
        Ok(ObjectsRequest {
            account: self.account.clone(),
            metadata: self.metadata.clone().filter(|metadata| !metadata.is_empty()),
            left: self.left.clone(),
            asked_from: self.from.is_some(),
            actor: given(&self.actor),
            reason: given(&self.reason),
        })
    }

    /// The window that is meant for objects, at `now`, after a last good run that ended at `last`.
    ///
    /// # Errors
    /// `InvalidRequest` where it ends before it begins.
    pub fn objects_window(
        &self,
        now: OffsetDateTime,
        last: Option<OffsetDateTime>,
    ) -> Result<Window, Failure> {
        let default = last.map_or(now - OBJECTS_FIRST, |last| last - OBJECTS_OVERLAP);
        let to = whole_second(self.to.unwrap_or(now).min(now));
        let from = whole_second(self.from.unwrap_or(default.min(to)));
        if from > to {
            return Err(window_ends_before_it_begins());
        }
        Ok(Window { from, to })
    }

    /// What to do about a gap that `events` cannot reach back over, or soon cannot; `None` where it can.
    pub fn remedy(&self, now: OffsetDateTime, last: Option<OffsetDateTime>) -> Option<String> {
        let begin = self.from.or(last)?;
        let gap = now - begin;
        if gap <= NEARLY {
            return None;
        }
        let begin = begin.format(&Rfc3339).ok()?;
        let what = if gap > LISTED_FOR {
            "Stripe lists events for 30 days; what happened before this window's beginning cannot be found here"
        } else {
            "the gap nears the 30 days for which Stripe lists events"
        };
        Some(format!(
            "{what}: compare the objects themselves with {{\"action\":\"objects\",\"from\":\"{begin}\"}}, and repair with \
             \"dry_run\":false"
        ))
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
            return Err(window_ends_before_it_begins());
        }
        if to < oldest_listed {
            return Err(Failure::invalid_request(
                "the window lies more than 30 days back, and Stripe no longer lists events from then; use the action objects",
            ));
        }
        Ok(Window { from: asked_from.max(oldest_listed).min(to), to })
    }
}

/// A text that says something.
fn given(text: &Option<String>) -> Option<String> {
    text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn window_ends_before_it_begins() -> Failure {
    Failure::invalid_request("the window ends before it begins: from must not be after to, nor after now")
}

fn whole_second(at: OffsetDateTime) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(at.unix_timestamp()).unwrap_or(at)
}

/// An instant with its zone.
///
/// # Errors
/// What is expected instead.
pub fn instant_required<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OffsetDateTime, D::Error> {
    instant(deserializer)?.ok_or_else(|| D::Error::custom("an instant is missing"))
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
    fn the_default_window_overlaps_the_last_good_run() {
        let last = datetime!(2026-11-21 11:00 UTC);
        let found = window(json!({"action": "events"}), Some(last)).expect("a window");
        assert_eq!((found.from, found.to), (datetime!(2026-11-21 10:50 UTC), NOW));
        let first = window(json!({"action": "events"}), None).expect("a window");
        assert_eq!(first.from, datetime!(2026-10-22 12:00 UTC));
    }

    #[test]
    fn a_gap_that_stripe_no_longer_lists_is_said() {
        let found =
            window(json!({"action": "events", "from": "2026-01-01T00:00:00Z"}), None).expect("a window");
        assert_eq!(found.from, NOW - LISTED_FOR);
        assert!(window(json!({"action": "events", "to": "2026-01-01T00:00:00Z"}), None).is_err());
    }

    #[test]
    fn objects_reach_back_as_far_as_they_change() {
        let objects = |payload, last| {
            let request = parse::<ReconcileRequest>(payload).expect("a request");
            request.objects_window(NOW, last).map(|window| (window.from, window.to))
        };
        let last = datetime!(2026-11-21 02:00 UTC);
        let found = objects(json!({"action": "objects"}), Some(last)).expect("a window");
        assert_eq!(found, (datetime!(2026-11-14 02:00 UTC), NOW));
        let first = objects(json!({"action": "objects"}), None).expect("a window");
        assert_eq!(first.0, NOW - Duration::days(90));
        let asked =
            json!({"action": "objects", "from": "2020-01-01T00:00:00.7Z", "to": "2020-02-01T00:00:00Z"});
        assert_eq!(
            objects(asked, Some(last)).expect("a window"),
            (datetime!(2020-01-01 00:00 UTC), datetime!(2020-02-01 00:00 UTC))
        );
        assert!(objects(json!({"action": "objects", "from": "2026-11-22T00:00:00Z"}), None).is_err());
    }

    #[test]
    fn an_account_that_is_not_ours_is_refused() {
        let theirs =
            parse::<ReconcileRequest>(json!({"action": "objects", "account": "acct_1"})).expect("a request");
        assert!(theirs.objects(&Accounts::None).is_err() && theirs.objects(&Accounts::All).is_ok());
    }

    #[test]
    fn a_gap_that_events_cannot_close_names_its_remedy() {
        let request = parse::<ReconcileRequest>(json!({"action": "events"})).expect("a request");
        assert_eq!(request.remedy(NOW, Some(NOW - Duration::days(20))), None);
        let nearly = request.remedy(NOW, Some(NOW - Duration::days(26))).expect("a remedy");
        assert!(
            nearly.contains("nears")
                && nearly.contains(r#"{"action":"objects","from":"2026-10-26T12:00:00Z"}"#)
        );
        let beyond = request.remedy(NOW, Some(NOW - Duration::days(31))).expect("a remedy");
        assert!(beyond.contains("cannot be found here"), "{beyond}");
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
