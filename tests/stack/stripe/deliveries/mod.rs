//! Deliveries of events to endpoints: a queue in order of time, faults on demand, and Stripe's habit of
//! trying again, compressed from days to seconds (<https://docs.stripe.com/webhooks#behaviors>).

mod dispatch;
mod faults;
mod log;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::{Notify, watch};

use super::events::EventRecord;

pub use dispatch::run;
pub use faults::Faults;
pub use log::{AttemptOutcome, DeliveryAttempt, DeliveryStats};

/// How long a shuffle waits for its window to fill before it goes on with what is there.
const SHUFFLE_HOLD: Duration = Duration::from_millis(25);

/// How deliveries are made.
#[derive(Clone, Debug)]
pub struct DeliveryOptions {
    /// Requests under way at once.
    pub concurrency: usize,
    /// Time for one request, connecting included.
    pub timeout: Duration,
    /// Wait before the second attempt; it doubles with each further one (give or take a fifth).
    pub retry_base: Duration,
    /// The longest wait between attempts.
    pub retry_cap: Duration,
    /// Attempts before a delivery is given up.
    pub attempts_max: u32,
}

impl Default for DeliveryOptions {
    fn default() -> Self {
        Self {
            concurrency: 8,
            timeout: Duration::from_secs(10),
            retry_base: Duration::from_millis(50),
            retry_cap: Duration::from_secs(1),
            attempts_max: 500,
        }
    }
}

/// One delivery that waits for its time.
struct Job {
    due: Instant,
    /// Keeps the order of events that are due together.
    order: u64,
    event: Arc<EventRecord>,
    endpoint: Arc<str>,
    attempt: u32,
    duplicate: bool,
}

impl PartialEq for Job {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Job {}

impl PartialOrd for Job {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Job {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.order).cmp(&(other.due, other.order))
    }
}

/// What the dispatcher does next.
enum Next {
    Send(Job),
    WaitUntil(Instant),
    WaitForNews,
}

struct State {
    waiting: BinaryHeap<Reverse<Job>>,
    /// Due, in order.
    ready: VecDeque<Job>,
    order: u64,
    random: StdRng,
    faults: Faults,
    paused: bool,
    stats: DeliveryStats,
    attempts: Vec<DeliveryAttempt>,
}

/// All deliveries that are not finished.
pub struct Queue {
    pub options: DeliveryOptions,
    state: Mutex<State>,
    news: Notify,
    /// Deliveries queued or under way.
    outstanding: watch::Sender<usize>,
}

impl Queue {
    pub fn new(seed: u64, options: DeliveryOptions) -> Self {
        let state = State {
            waiting: BinaryHeap::new(),
            ready: VecDeque::new(),
            order: 0,
            // A stream of its own: ids do not depend on how deliveries fare.
            random: StdRng::seed_from_u64(seed.wrapping_add(1)),
            faults: Faults::default(),
            paused: false,
            stats: DeliveryStats::default(),
            attempts: Vec::new(),
        };
        Self { options, state: Mutex::new(state), news: Notify::new(), outstanding: watch::Sender::new(0) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no one panics while holding the queue")
    }

    /// Queues an event for an endpoint, through the faults.
    pub fn enqueue(&self, event: &Arc<EventRecord>, endpoint: Arc<str>) {
        let mut state = self.state();
        state.stats.queued += 1;
        let faults = state.faults;
        if faults.drop > 0.0 && state.random.random_bool(faults.drop.clamp(0.0, 1.0)) {
            state.stats.dropped += 1;
            state.attempts.push(DeliveryAttempt {
                event: event.id.clone(),
                kind: event.kind.clone(),
                endpoint,
                attempt: 1,
                duplicate: false,
                outcome: AttemptOutcome::Dropped,
            });
            return;
        }
        let twice = faults.duplicate > 0.0 && state.random.random_bool(faults.duplicate.clamp(0.0, 1.0));
        for duplicate in [false, true].into_iter().take(if twice { 2 } else { 1 }) {
            let delay = match faults.delay {
                Some((least, most)) if most > least => state.random.random_range(least..=most),
                Some((least, _)) => least,
                None => Duration::ZERO,
            };
            if duplicate {
                state.stats.duplicated += 1;
            }
            let due = Instant::now() + delay;
            self.push(
                &mut state,
                Job {
                    due,
                    order: 0,
                    event: event.clone(),
                    endpoint: endpoint.clone(),
                    attempt: 1,
                    duplicate,
                },
            );
            self.outstanding.send_modify(|outstanding| *outstanding += 1);
        }
    }

    fn push(&self, state: &mut State, mut job: Job) {
        state.order += 1;
        job.order = state.order;
        state.waiting.push(Reverse(job));
        self.news.notify_one();
    }

    /// Queues the next attempt of a delivery that failed.
    fn again(&self, mut job: Job) {
        let mut state = self.state();
        let doublings = (job.attempt - 1).min(20);
        let wait = self.options.retry_base.saturating_mul(1 << doublings).min(self.options.retry_cap);
        job.due = Instant::now() + wait.mul_f64(state.random.random_range(0.8..1.2));
        job.attempt += 1;
        self.push(&mut state, job);
    }

    fn done(&self) {
        self.outstanding.send_modify(|outstanding| *outstanding -= 1);
    }

    fn next(&self) -> Next {
        let now = Instant::now();
        let mut state = self.state();
        if state.paused {
            return Next::WaitForNews;
        }
        while state.waiting.peek().is_some_and(|Reverse(job)| job.due <= now) {
            let Reverse(job) = state.waiting.pop().expect("it was just seen");
            state.ready.push_back(job);
        }
        let Some(first) = state.ready.front() else {
            return state.waiting.peek().map_or(Next::WaitForNews, |Reverse(job)| Next::WaitUntil(job.due));
        };
        let window = state.faults.shuffle.max(1);
        let flush_at = first.due + SHUFFLE_HOLD;
        if window > 1 && state.ready.len() < window && now < flush_at {
            return Next::WaitUntil(flush_at);
        }
        let among = window.min(state.ready.len());
        let chosen = if among > 1 { state.random.random_range(0..among) } else { 0 };
        Next::Send(state.ready.remove(chosen).expect("chosen among what is there"))
    }

    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
        self.news.notify_one();
    }

    pub fn set_paused(&self, paused: bool) {
        self.state().paused = paused;
        self.news.notify_one();
    }

    pub fn stats(&self) -> DeliveryStats {
        self.state().stats
    }

    pub fn attempts(&self) -> Vec<DeliveryAttempt> {
        self.state().attempts.clone()
    }

    /// Deliveries queued or under way.
    pub fn outstanding(&self) -> usize {
        *self.outstanding.borrow()
    }

    /// Waits until nothing is queued or under way; gives what is left when the time is over.
    pub async fn settle(&self, timeout: Duration) -> Result<(), usize> {
        let mut outstanding = self.outstanding.subscribe();
        match tokio::time::timeout(timeout, outstanding.wait_for(|left| *left == 0)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(self.outstanding()),
        }
    }
}
