//! The numbers that an alarm watches.
//!
//! | metric | when |
//! |---|---|
//! | `Rotations` | a secret has its new value, and what uses it works |
//! | `RotationsFailed` | a step or an action failed; the properties `secret` and `step` say which |

use recoup::config::Env;
use recoup::failure::Failure;
use recoup::telemetry::metrics::{Metric, Metrics, Output};

/// Where they are filed.
pub struct Signals {
    metrics: Metrics,
}

impl Signals {
    /// Filed as the environment says.
    pub fn from_env(env: &mut Env, output: Output) -> Self {
        Self { metrics: Metrics::from_env(env, "rotate", output) }
    }

    /// A rotation has come to its end.
    pub fn rotated(&self, secret: &str) {
        self.metrics.record(&[Metric::one("Rotations")], &[("secret", secret)]);
    }

    /// A part of one failed.
    pub fn failed(&self, secret: &str, step: &str, failure: &Failure) {
        let properties = [("secret", secret), ("step", step), ("error_type", failure.error_type())];
        self.metrics.record(&[Metric::one("RotationsFailed")], &properties);
    }
}
