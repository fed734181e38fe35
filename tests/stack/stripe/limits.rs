//! Requests that are refused or spoilt on purpose: the rate limit, and failures that a test asked for.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

/// Requests per second that are answered; the rest get 429. Stripe allows 100 in live mode and 25 in a
/// sandbox, and 25 for one endpoint (<https://docs.stripe.com/rate-limits>).
#[derive(Clone, Copy, Debug)]
pub struct RateLimit {
    /// For all requests together, in requests per second.
    pub per_second: u32,
    /// For one method and path (ids left out), in requests per second.
    pub per_endpoint: Option<u32>,
}

/// How a request fails on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiFault {
    /// 500, and nothing was done.
    ServerError,
    /// No answer until the client gives up, and nothing was done.
    NoAnswer,
    /// No answer until the client gives up, although the request was carried out.
    LostAnswer,
}

/// The state of both.
#[derive(Default)]
pub struct Limits {
    pub rate: Option<RateLimit>,
    pub faults: VecDeque<ApiFault>,
    all: Option<Bucket>,
    endpoints: HashMap<String, Bucket>,
}

impl Limits {
    pub fn new(rate: Option<RateLimit>) -> Self {
        Self { rate, ..Self::default() }
    }

    pub fn set_rate(&mut self, rate: Option<RateLimit>) {
        *self = Self { rate, faults: std::mem::take(&mut self.faults), ..Self::default() };
    }

    /// Whether one more request to this endpoint is within the limit now.
    pub fn admit(&mut self, method: &str, path: &str) -> bool {
        let Some(rate) = self.rate else { return true };
        let now = Instant::now();
        let all = self.all.get_or_insert_with(|| Bucket::full(rate.per_second, now));
        if !all.take(rate.per_second, now) {
            return false;
        }
        let Some(per_endpoint) = rate.per_endpoint else { return true };
        let bucket =
            self.endpoints.entry(endpoint(method, path)).or_insert_with(|| Bucket::full(per_endpoint, now));
        bucket.take(per_endpoint, now)
    }
}

/// Method and path without ids: segments with a digit are ids, `v1` aside.
fn endpoint(method: &str, path: &str) -> String {
    let parts = path
        .split('/')
        .map(|part| if part != "v1" && part.contains(|c: char| c.is_ascii_digit()) { "*" } else { part });
    std::iter::once(method).chain(parts).collect::<Vec<_>>().join("/")
}

/// A token bucket that holds one second's worth.
struct Bucket {
    tokens: f64,
    filled_at: Instant,
}

impl Bucket {
    fn full(per_second: u32, now: Instant) -> Self {
        Self { tokens: f64::from(per_second), filled_at: now }
    }

    fn take(&mut self, per_second: u32, now: Instant) -> bool {
        let rate = f64::from(per_second);
        self.tokens = (self.tokens + now.duration_since(self.filled_at).as_secs_f64() * rate).min(rate);
        self.filled_at = now;
        let admitted = self.tokens >= 1.0;
        if admitted {
            self.tokens -= 1.0;
        }
        admitted
    }
}
