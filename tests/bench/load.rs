//! Load: clients that each send their next event as soon as the last one was answered, for some seconds.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream::{FuturesUnordered, TryStreamExt};

use crate::Result;
use crate::figures::percentile;
use crate::process;

/// Prepared for the first run of a set of clients: more than any of them takes.
const FIRST_EVENTS_PER_SECOND: f64 = 10_000.0;
/// Prepared for the next ones, in best runs so far: the first plans its statements and is far slower.
const MARGIN: f64 = 5.0;

/// Takes one event at a time.
pub trait Client {
    /// Sends a prepared event and waits for the answer. Anything but success is an error: it would be another
    /// measurement.
    async fn deliver(&mut self, event: Bytes) -> Result<()>;
}

/// Clients that work at the same time.
pub struct Clients<C> {
    /// The clients themselves.
    pub all: Vec<C>,
    /// Events per second of the best run so far.
    best: Option<f64>,
}

impl<C: Client> Clients<C> {
    /// Of these.
    pub fn new(all: Vec<C>) -> Clients<C> {
        Clients { all, best: None }
    }

    /// How many events to prepare for a run: what is left over is thrown away.
    pub fn wanted(&self, seconds: u64) -> usize {
        let per_second = self.best.map_or(FIRST_EVENTS_PER_SECOND, |best| best * MARGIN);
        (per_second * seconds as f64) as usize
    }

    /// Feeds them until the time is over.
    pub async fn run(&mut self, events: Vec<Bytes>, seconds: u64) -> Result<Run> {
        let events = RefCell::new(events.into_iter());
        let own_cpu = process::cpu(std::process::id())?;
        let started = Instant::now();
        let deadline = started + Duration::from_secs(seconds);
        let feeds: FuturesUnordered<_> =
            self.all.iter_mut().map(|client| feed(client, &events, deadline)).collect();
        let latencies: Vec<Vec<f64>> = feeds.try_collect().await?;
        let seconds = started.elapsed().as_secs_f64();
        let own_cpu = process::cpu(std::process::id())?.saturating_sub(own_cpu);
        let run = Run { seconds, latencies_ms: latencies.concat(), own_cpu };
        self.best = Some(self.best.unwrap_or_default().max(run.rate()));
        Ok(run)
    }
}

/// Events, each durably committed, and how long each took.
pub struct Run {
    seconds: f64,
    latencies_ms: Vec<f64>,
    own_cpu: Duration,
}

impl Run {
    /// How many.
    pub fn events(&self) -> usize {
        self.latencies_ms.len()
    }

    /// Events per second.
    pub fn rate(&self) -> f64 {
        self.events() as f64 / self.seconds
    }

    /// What driving them took of a processor, in microseconds an event.
    pub fn driver_us(&self) -> f64 {
        self.own_cpu.as_secs_f64() * 1e6 / self.events() as f64
    }

    /// The latency, in milliseconds, that this share of the events did not exceed.
    pub fn latency_ms(&self, percent: f64) -> f64 {
        percentile(&self.latencies_ms, percent)
    }
}

async fn feed(
    client: &mut impl Client,
    events: &RefCell<std::vec::IntoIter<Bytes>>,
    deadline: Instant,
) -> Result<Vec<f64>> {
    let mut latencies_ms = Vec::new();
    while Instant::now() < deadline {
        let next = events.borrow_mut().next();
        let event = next.ok_or("more events per second than were prepared")?;
        let sent = Instant::now();
        client.deliver(event).await?;
        latencies_ms.push(sent.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(latencies_ms)
}
