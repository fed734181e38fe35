//! What goes wrong on the way from Stripe to a receiver.

use std::time::Duration;

/// Faults of deliveries; the default is none. They hold for events emitted from then on (`shuffle`: for
/// deliveries sent from then on).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// Share of deliveries, 0 to 1, that never arrive and are never tried again: the lost webhooks.
    pub drop: f64,
    /// Share of deliveries, 0 to 1, that are sent twice.
    pub duplicate: f64,
    /// Extra time before a first attempt, drawn evenly from this range.
    pub delay: Option<(Duration, Duration)>,
    /// Of so many deliveries that wait, a random one goes next; 0 and 1 keep the order.
    pub shuffle: usize,
}
