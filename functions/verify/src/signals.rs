//! The numbers that alarms and a dashboard watch.
//!
//! | metric | when | |
//! |---|---|---|
//! | `BackupAgeSeconds` | health | age of the newest full backup; absent where there is none |
//! | `BackupsLate` | health | kinds of backup without one that is new enough |
//! | `ChangesAgeSeconds` | health | age of the newest exported changes; absent where there are none |
//! | `ChangesFaults` | changes | what is wrong with exported changes |
//! | `EventsFailed`, `EventsDead` | health | events that wait for another try, and for a person |
//! | `Failing`, `Degraded` | health | parts that are |
//! | `DrillSeconds` | drill | recovery time |
//! | `DrillsFailed` | drill | 1 for one that did not bring its backup back, whatever the reason, else 0 |
//! | `DrillAgeSeconds` | health | how long ago a drill last succeeded; absent where none has |
//! | `InvariantViolations` | database, drill | rows that break a rule |
//! | `SchemaDrift` | schema | migrations and objects that differ |
//! | `ObjectsDamaged` | quick, full, drill | damaged objects of the backup |

use recoup::config::Env;
use recoup::failure::Failure;
use recoup::telemetry::metrics::{Metric, Metrics, Output, Unit};
use serde_json::Value;

/// Where they are filed.
pub struct Signals {
    metrics: Metrics,
}

impl Signals {
    /// Filed as the environment says.
    pub fn from_env(env: &mut Env, output: Output) -> Self {
        Self { metrics: Metrics::from_env(env, "verify", output) }
    }

    /// A check of which nothing is to be said but this number.
    pub(crate) fn passed(&self, action: &'static str, drill_seconds: Option<f64>) {
        let mut metrics = vec![match action {
            "database" => count("InvariantViolations", 0),
            "schema" => count("SchemaDrift", 0),
            "changes" => count("ChangesFaults", 0),
            _ => count("ObjectsDamaged", 0),
        }];
        if let Some(seconds) = drill_seconds {
            metrics.extend([Metric::new("DrillSeconds", Unit::Seconds, seconds), count("DrillsFailed", 0)]);
        }
        self.metrics.record(&metrics, &[("action", action), ("outcome", "passed")]);
    }

    /// A check that found something, or could not be carried out.
    pub(crate) fn failed(&self, action: &'static str, failure: &Failure) {
        let number = |field: &str| {
            failure.findings().and_then(|findings| findings.get(field)).and_then(Value::as_u64).unwrap_or(0)
        };
        let listed = |field: &str| {
            let list = failure.findings().and_then(|findings| findings.get(field)).and_then(Value::as_array);
            list.map_or(0, |list| list.len() as u64)
        };
        let found = match failure.error_type() {
            "InvariantBroken" => Some(count("InvariantViolations", number("rows_broken"))),
            "SchemaDrift" => Some(count("SchemaDrift", listed("migrations") + number("objects_differing"))),
            "ChangesBroken" => Some(count("ChangesFaults", number("faults"))),
            "BackupDamaged" => Some(count("ObjectsDamaged", number("damaged"))),
            _ => None,
        };
        let drill = (action == "drill").then(|| count("DrillsFailed", 1));
        let metrics: Vec<Metric> = found.into_iter().chain(drill).collect();
        if metrics.is_empty() {
            return;
        }
        let properties = [("action", action), ("outcome", "failed"), ("error_type", failure.error_type())];
        self.metrics.record(&metrics, &properties);
    }

    /// How everything stands.
    pub(crate) fn health(&self, status: &'static str, metrics: &[Metric]) {
        self.metrics.record(metrics, &[("action", "health"), ("outcome", status)]);
    }
}

/// A number of things.
pub(crate) fn count(name: &'static str, value: u64) -> Metric {
    Metric::new(name, Unit::Count, value as f64)
}
