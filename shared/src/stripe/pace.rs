//! How fast Stripe may be asked: requests are spaced evenly, never sent in bursts.
//!
//! Stripe allows so many requests a second for an account, and fewer for one endpoint of it (Stripe documentation,
//! "Rate limits"). Each request is given the earliest instant that is an interval away from every other request's, and
//! an endpoint's interval away from those of its endpoint. One that has to wait for its endpoint leaves the instants
//! before its own to others. Where a busy processor lets some leave late, and so close together, no more leave within any
//! second than are allowed in one.

use std::collections::{HashMap, VecDeque};
use std::str::FromStr;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// Requests a second that Stripe allows a key of live mode.
pub const LIVE_PER_SECOND: u32 = 100;

/// Requests a second that Stripe allows a key of a sandbox or of test mode.
pub const TEST_PER_SECOND: u32 = 25;

/// Requests a second that Stripe allows for one endpoint.
pub const ENDPOINT_PER_SECOND: u32 = 25;

/// How much of Stripe's limits is used: others ask with keys of the same account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// So many percent.
    Percent(u8),
    /// No limit of ours: for a stand-in.
    Unlimited,
}

impl Default for Share {
    fn default() -> Self {
        Self::Percent(80)
    }
}

impl FromStr for Share {
    type Err = String;

    /// A whole number of percent from 1 to 100, or `none`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(percent @ 1..=100) => Ok(Self::Percent(percent)),
            _ if text == "none" => Ok(Self::Unlimited),
            _ => Err(format!("{text:?} is no share; expected percent from 1 to 100, or none")),
        }
    }
}

/// Spaces the requests of one key.
#[derive(Debug)]
pub struct Pace {
    between_all: Duration,
    between_endpoint: Duration,
    given: Mutex<Given>,
    /// How many may leave within a second.
    per_second: usize,
    endpoint_per_second: usize,
    left: Mutex<HashMap<String, VecDeque<Instant>>>,
}

/// What all requests are counted under.
const ALL: &str = "";

/// A second, and what two requests may come closer to each other on their way.
const WINDOW: Duration = Duration::from_millis(1_005);

/// What was given out.
#[derive(Debug, Default)]
struct Given {
    /// Instants that are not a whole interval ago, in order.
    all: Vec<Instant>,
    /// By endpoint: before when no more of it may be sent.
    endpoints: HashMap<String, Instant>,
    /// Stripe asked for silence until then.
    silent_until: Option<Instant>,
}

impl Pace {
    /// For a key of live mode or not; `None` without a limit.
    pub fn new(live: bool, share: Share) -> Option<Self> {
        let Share::Percent(percent) = share else { return None };
        let per_second = if live { LIVE_PER_SECOND } else { TEST_PER_SECOND };
        let interval = |per_second: u32| Duration::from_secs(100) / (per_second * u32::from(percent));
        Some(Self {
            between_all: interval(per_second),
            between_endpoint: interval(ENDPOINT_PER_SECOND),
            given: Mutex::default(),
            per_second: whole(per_second * u32::from(percent) / 100),
            endpoint_per_second: whole(ENDPOINT_PER_SECOND * u32::from(percent) / 100),
            left: Mutex::default(),
        })
    }

    /// Waits for this request's turn. `path` is without its query.
    pub async fn turn(&self, method: &str, path: &str) {
        let endpoint = endpoint(method, path);
        let mut turn = self.reserve(endpoint.clone(), Instant::now());
        loop {
            tokio::time::sleep_until(turn).await;
            match self.leave(&endpoint, Instant::now()) {
                None => return,
                Some(later) => turn = later,
            }
        }
    }

    /// Notes that a request leaves, or says when it may.
    fn leave(&self, endpoint: &str, now: Instant) -> Option<Instant> {
        let mut left = self.left.lock().expect("no holder panics");
        let limits = [(ALL, self.per_second), (endpoint, self.endpoint_per_second)];
        let full = limits.iter().filter_map(|(name, most)| {
            let window = left.get(*name)?;
            let first = window.len().checked_sub(*most)?;
            Some(window[first] + WINDOW)
        });
        if let Some(later) = full.max().filter(|later| *later > now) {
            return Some(later);
        }
        for (name, most) in limits {
            let window = left.entry(name.to_owned()).or_default();
            window.push_back(now);
            while window.len() > most {
                window.pop_front();
            }
        }
        None
    }

    /// Nothing more is sent for so long: Stripe said that it was too much.
    pub fn hold(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut given = self.given.lock().expect("no holder panics");
        given.silent_until = given.silent_until.max(Some(until));
    }

    fn reserve(&self, endpoint: String, now: Instant) -> Instant {
        let mut given = self.given.lock().expect("no holder panics");
        let all = self.between_all;
        given.all.retain(|taken| *taken + all > now);
        let mut turn = now.max(given.silent_until.unwrap_or(now));
        turn = turn.max(given.endpoints.get(&endpoint).copied().unwrap_or(turn));
        let mut place = 0;
        for taken in &given.all {
            if turn + all <= *taken {
                break;
            }
            turn = turn.max(*taken + all);
            place += 1;
        }
        given.all.insert(place, turn);
        given.endpoints.insert(endpoint, turn + self.between_endpoint);
        turn
    }
}

fn whole(per_second: u32) -> usize {
    usize::try_from(per_second).unwrap_or(usize::MAX).max(1)
}

/// Method and path without ids: segments with a digit are ids, `v1` aside.
fn endpoint(method: &str, path: &str) -> String {
    let without_id = |part| match part {
        "v1" | "v2" => part,
        part if part.bytes().any(|byte| byte.is_ascii_digit()) => "*",
        part => part,
    };
    path.split('/').map(without_id).fold(method.to_owned(), |whole, part| format!("{whole}/{part}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(live: bool, percent: u8) -> Pace {
        Pace::new(live, Share::Percent(percent)).expect("a limit")
    }

    #[test]
    fn shares_are_percent_or_none() {
        assert_eq!("80".parse(), Ok(Share::default()));
        assert_eq!("none".parse(), Ok(Share::Unlimited));
        for wrong in ["0", "101", "0.8", "80%", "", "all"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn requests_are_spaced_for_all_and_for_each_endpoint_and_use_all_that_is_allowed() {
        let pace = pace(true, 80);
        let now = Instant::now();
        // Two busy endpoints, and twelve others: each turn of one is 50 ms from the next, and all are 12.5 ms apart.
        let paths: Vec<String> = (0..14).map(|at| format!("/v1/{}", "x".repeat(at + 1))).collect();
        let mut turns: Vec<(Instant, usize)> = Vec::new();
        for round in 0..400 {
            let path = if round % 2 == 0 { round % 4 / 2 } else { round % 14 };
            turns.push((pace.reserve(endpoint("GET", &paths[path]), now), path));
        }
        turns.sort_unstable();
        for pair in turns.windows(2) {
            assert!(pair[1].0 - pair[0].0 >= Duration::from_micros(12_500), "{pair:?}");
        }
        for path in 0..14 {
            let own: Vec<Instant> = turns.iter().filter(|turn| turn.1 == path).map(|turn| turn.0).collect();
            for pair in own.windows(2) {
                assert!(pair[1] - pair[0] >= Duration::from_millis(50));
            }
        }
        // One endpoint alone uses its limit to the last turn.
        let alone = super::tests::pace(false, 100);
        let last = (0..251).map(|_| alone.reserve("GET/v1/events".to_owned(), now)).max().expect("turns");
        assert_eq!(last - now, Duration::from_secs(10));
    }

    #[test]
    fn those_that_are_late_do_not_leave_together() {
        let pace = pace(false, 80);
        let now = Instant::now();
        let at = |millis: u64| now + Duration::from_millis(millis);
        assert!((0..20).all(|request| pace.leave("GET/v1/events", at(request)).is_none()));
        assert_eq!(
            pace.leave("GET/v1/charges", at(900)),
            Some(at(1_005)),
            "the first of twenty is not a second ago"
        );
        assert_eq!(pace.leave("GET/v1/charges", at(1_005)), None);
        assert_eq!(pace.leave("GET/v1/charges", at(1_005)), Some(at(1_006)));
    }

    #[test]
    fn one_that_waits_for_its_endpoint_leaves_the_time_before_to_others() {
        let pace = pace(true, 100);
        let now = Instant::now();
        let charge = |id: &str| pace.reserve(endpoint("GET", &format!("/v1/charges/{id}")), now) - now;
        assert_eq!(
            (charge("ch_1"), charge("ch_2"), charge("ch_3")),
            (Duration::ZERO, Duration::from_millis(40), Duration::from_millis(80))
        );
        let other = pace.reserve(endpoint("GET", "/v1/refunds"), now) - now;
        assert_eq!(other, Duration::from_millis(10));
        let posted = pace.reserve(endpoint("POST", "/v1/charges/ch_9"), now) - now;
        assert_eq!(posted, Duration::from_millis(20), "another method is another endpoint");
    }
}
