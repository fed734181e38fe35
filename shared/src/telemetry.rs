//! Signals: logs and metrics, one JSON object a line on standard output, where Lambda collects them.
//!
//! Nothing that a customer or Stripe sent goes into either: only ids, types, counts and durations do.

pub mod metrics;

use tracing::{Level, Metadata};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts JSON logging at the level of `RUST_LOG` (default `info`): a level, or levels by crate (`warn,recoup=debug`).
///
/// Below `info` only this crate speaks, whatever `RUST_LOG` says: the Lambda runtime, the HTTP client and the
/// driver write payloads there.
pub fn init() {
    let wanted = std::env::var("RUST_LOG").ok().and_then(|levels| levels.parse().ok());
    let filter: Targets = wanted.unwrap_or_else(|| Targets::new().with_default(Level::INFO));
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_filter(tracing_subscriber::filter::filter_fn(is_safe));
    tracing_subscriber::registry().with(lines).with(filter).init();
}

fn is_safe(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::INFO || metadata.target().split("::").next() == Some("recoup")
}

/// An id or a type as it may stand in a signal. Stripe's have only letters, digits, `_`, `.` and `-`; what has
/// anything else may be anything.
pub fn identifier(text: &str) -> &str {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if text.bytes().all(plain) { text } else { "(not an identifier)" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_looks_like_an_identifier_is_shown() {
        for id in ["evt_1Nabc", "charge.dispute.funds_withdrawn", "v1.billing.meter-x"] {
            assert_eq!(identifier(id), id);
        }
        for other in ["ada@example.com", "4242 4242", "evt_1\n{}"] {
            assert_eq!(identifier(other), "(not an identifier)");
        }
    }
}
