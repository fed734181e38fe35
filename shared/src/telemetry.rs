//! Logs: one JSON object a line on standard output, where Lambda collects them.
//!
//! Nothing that a customer or Stripe sent goes into a log: only ids, types, counts and durations do.

use tracing_subscriber::EnvFilter;

/// Starts JSON logging at the level of `RUST_LOG` (default `info`).
pub fn init() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_env_filter(filter)
        .init();
}
