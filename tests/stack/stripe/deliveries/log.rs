//! What became of each delivery.

use std::sync::Arc;

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryStats {
    /// Deliveries asked for: one per event and endpoint, resends included, duplicates not.
    pub queued: u64,
    /// Deliveries that a receiver answered with 2xx.
    pub delivered: u64,
    /// Requests sent, repeats and duplicates included.
    pub attempts: u64,
    /// Requests that got another status, no answer in time or no connection.
    pub failed_attempts: u64,
    /// Deliveries lost on purpose.
    pub dropped: u64,
    /// Second copies sent on purpose.
    pub duplicated: u64,
    /// Deliveries given up after the last attempt.
    pub exhausted: u64,
    /// Deliveries whose endpoint was deleted or disabled before they were sent.
    pub cancelled: u64,
}

/// How one attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The receiver's HTTP status.
    Answered(u16),
    /// No answer: the reason.
    Unanswered(String),
    /// Lost on purpose; nothing was sent.
    Dropped,
}

/// One attempt to deliver one event to one endpoint.
#[derive(Clone, Debug)]
pub struct DeliveryAttempt {
    /// The event's id.
    pub event: Arc<str>,
    /// The event's type.
    pub kind: Arc<str>,
    /// The endpoint's id.
    pub endpoint: Arc<str>,
    /// 1 for the first.
    pub attempt: u32,
    /// Whether it was a second copy sent on purpose.
    pub duplicate: bool,
    /// How it ended.
    pub outcome: AttemptOutcome,
}
