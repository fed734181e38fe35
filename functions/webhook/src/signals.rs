//! What is said of each invocation: one line of metrics that is its log line as well, and one more where a person
//! should look. Ids, types and times; nothing of what was paid, or by whom.

use std::time::Duration;

use recoup::config::Env;
use recoup::events::receive::{Outcome, Receipt};
use recoup::failure::Failure;
use recoup::telemetry::identifier;
use recoup::telemetry::metrics::{Metric, Metrics, Output, Unit};
use time::OffsetDateTime;

/// Metrics: `Received` each proven event, and one of `Applied`, `Duplicate`, `Ignored`, `Failed` (kept for another
/// try), `Dead`, `NotStored` (the sender must send again); `Refused` each request that is not proven; `Latency` in
/// milliseconds and `AgeAtReceipt` in seconds, from the event's own time.
pub struct Signals {
    metrics: Metrics,
}

impl Signals {
    /// Filed as the environment says.
    pub fn from_env(env: &mut Env, output: Output) -> Self {
        Self { metrics: Metrics::from_env(env, "webhook", output) }
    }

    /// An event that is committed.
    pub fn committed(&self, receipt: &Receipt, door: &str, elapsed: Duration) {
        let outcome = word(&receipt.outcome);
        let (event_id, event_type) = (identifier(&receipt.event_id), identifier(&receipt.event_type));
        let counted = match &receipt.outcome {
            Outcome::Applied => "Applied",
            Outcome::Duplicate => "Duplicate",
            Outcome::Ignored(_) => "Ignored",
            Outcome::Failed(_) => "Failed",
            Outcome::Dead(_) => "Dead",
        };
        let mut metrics = vec![Metric::one("Received"), Metric::one(counted), latency(elapsed)];
        if let Some(created) = receipt.created {
            let age = (OffsetDateTime::now_utc() - created).as_seconds_f64().max(0.0);
            metrics.push(Metric::new("AgeAtReceipt", Unit::Seconds, age.round()));
        }
        let properties =
            [("event_id", event_id), ("event_type", event_type), ("outcome", outcome), ("door", door)];
        self.metrics.record(&metrics, &properties);
        match &receipt.outcome {
            Outcome::Failed(reason) => {
                tracing::error!(event_id, event_type, reason, "event kept for another try");
            }
            Outcome::Dead(reason) => {
                tracing::error!(event_id, event_type, reason, "event dead: all tries are used up");
            }
            Outcome::Ignored(reason) => tracing::info!(event_id, event_type, reason, "event ignored"),
            Outcome::Applied | Outcome::Duplicate => {}
        }
    }

    /// An event that could not be committed.
    pub fn not_stored(&self, failure: &Failure, door: &str, elapsed: Duration) {
        let error_type = failure.error_type();
        let metrics = [Metric::one("Received"), Metric::one("NotStored"), latency(elapsed)];
        self.metrics.record(&metrics, &[("error_type", error_type), ("door", door)]);
        tracing::error!(error_type, error = %failure, "event not stored");
    }

    /// A request that proves nothing.
    pub fn refused(&self, error_type: &'static str, elapsed: Duration) {
        self.metrics.record(&[Metric::one("Refused"), latency(elapsed)], &[("error_type", error_type)]);
    }
}

/// The outcome, as answers and signals call it.
pub fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Applied => "applied",
        Outcome::Duplicate => "duplicate",
        Outcome::Ignored(_) => "ignored",
        Outcome::Failed(_) => "failed",
        Outcome::Dead(_) => "dead",
    }
}

fn latency(elapsed: Duration) -> Metric {
    Metric::new("Latency", Unit::Milliseconds, elapsed.as_micros() as f64 / 1000.0)
}
