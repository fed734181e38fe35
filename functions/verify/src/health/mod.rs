//! `health`: how everything stands, in one answer and one word.
//!
//! Each part is `ok`, `degraded` (it works, and somebody should look) or `failing` (a promise is broken now); the word
//! for all is the worst of them. Where that is `failing` the answer is the error `Unhealthy`, with the same JSON as its
//! findings. The age of backups is read from the bucket, never from a table.

mod backups;
mod changes;
mod expectations;
mod secrets;
mod standing;

use std::collections::BTreeMap;

use recoup::failure::Failure;
use recoup::secrets::{SecretDates, SecretStore};
use recoup::telemetry::metrics::Metric;
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

pub(crate) use self::expectations::Expectations;
use crate::Verify;
use crate::signals::count;

/// How a part stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Ok,
    Degraded,
    Failing,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Failing => "failing",
        }
    }
}

/// One part, with what is known of it and what to do where it is not ok.
#[derive(Debug, Serialize)]
pub(crate) struct Part {
    status: Status,
    #[serde(flatten)]
    known: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'static str>,
}

impl Part {
    /// A part of which `known`, an object, is known; `remedy` is shown where it is not ok.
    pub(crate) fn new(status: Status, known: Value, remedy: &'static str) -> Self {
        Self { status, known, remedy: (status != Status::Ok).then_some(remedy) }
    }

    /// A part that cannot be seen.
    pub(crate) fn unseen(failure: &Failure, remedy: &'static str) -> Self {
        let known = json!({"error_type": failure.error_type(), "error": failure.to_string()});
        Self::new(Status::Failing, known, remedy)
    }
}

/// What `health` answers.
#[derive(Debug, Serialize)]
pub struct HealthReply {
    action: &'static str,
    status: Status,
    #[serde(with = "time::serde::rfc3339")]
    checked_at: OffsetDateTime,
    parts: BTreeMap<&'static str, Part>,
}

/// Parts with the numbers that they are watched by.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) parts: BTreeMap<&'static str, Part>,
    pub(crate) metrics: Vec<Metric>,
}

impl<S: SecretStore + SecretDates + Sync> Verify<S> {
    pub(crate) async fn health(&self) -> Result<HealthReply, Failure> {
        let now = OffsetDateTime::now_utc();
        let expected = &self.expectations;
        let options = async {
            match self.options().await {
                Ok(options) => {
                    let mut seen = standing::standing(&options, expected, now).await;
                    seen.parts.extend(changes::captured(&options, &expected.schemas).await.parts);
                    seen
                }
                Err(failure) => standing::unseen(&failure),
            }
        };
        let (bucket, changes, database, secrets) = tokio::join!(
            backups::backups(&self.store, expected, now),
            changes::exported(&self.store, expected, now),
            options,
            secrets::secrets(&self.secrets, expected, now),
        );
        let mut seen = Seen::default();
        for part in [bucket, changes, database, secrets] {
            seen.parts.extend(part.parts);
            seen.metrics.extend(part.metrics);
        }
        self.answer(seen, now)
    }

    fn answer(&self, seen: Seen, now: OffsetDateTime) -> Result<HealthReply, Failure> {
        let Seen { parts, mut metrics } = seen;
        let status = parts.values().map(|part| part.status).max().unwrap_or(Status::Ok);
        let of = |status: Status| {
            let names = parts.iter().filter(move |(_, part)| part.status == status).map(|(name, _)| *name);
            names.collect::<Vec<_>>()
        };
        let (failing, degraded) = (of(Status::Failing), of(Status::Degraded));
        metrics.push(count("Failing", failing.len() as u64));
        metrics.push(count("Degraded", degraded.len() as u64));
        self.signals.health(status.word(), &metrics);
        let message = format!("see how everything stands: failing: {}.", failing.join(", "));
        let reply = HealthReply { action: "health", status, checked_at: now, parts };
        if status == Status::Failing {
            return Err(Failure::new("Unhealthy", message).with_findings(&reply));
        }
        Ok(reply)
    }
}
