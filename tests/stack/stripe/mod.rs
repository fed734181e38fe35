//! A stateful Stripe, in process, over HTTP: the source of truth for tests, demo and benchmarks.
//!
//! It answers under `/v1` on a free loopback port with Stripe's shapes, lists, refusals and headers, keeps what
//! it is told in memory, emits the events that Stripe emits, and delivers them signed to its endpoints, with
//! Stripe's habit of trying again and with faults on demand. What Stripe has and the stand-in does not act on is
//! refused by name (`not_simulated`), never ignored.
//!
//! How it is built: `http` takes each request through key, account, limits and idempotency; `router` picks the
//! resource; a file in `resources` has each resource's rules; `world` holds the data (`table` is the store) behind
//! one lock, so that a request is one step; `events` logs what happened; `deliveries` sends it.

mod agenda;
mod clock;
mod deliveries;
mod errors;
mod events;
mod expand;
mod form;
mod handle;
mod http;
mod idempotency;
mod ids;
mod json;
mod kinds;
mod limits;
mod pages;
mod periods;
mod resources;
mod router;
mod signing;
mod table;
mod test_helpers;
mod world;

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use deliveries::Queue;
use limits::Limits;
use world::World;

pub use clock::Clock;
pub use deliveries::{AttemptOutcome, DeliveryAttempt, DeliveryOptions, DeliveryStats, Faults};
pub use errors::Refusal;
pub use handle::Unsettled;
pub use limits::{ApiFault, RateLimit};
pub use resources::checkout_buyer::{Buyer, Outcome};
pub use resources::refunds::{RefundHabit, RefundOutcome};
pub use signing::{sign, signature_header};

/// The API version whose shapes the stand-in speaks.
pub const API_VERSION: &str = "2026-09-30.endive";

/// How a stand-in is started.
#[derive(Clone, Debug)]
pub struct StripeOptions {
    /// The secret key that requests must bring.
    pub api_key: String,
    /// The account that the key belongs to.
    pub account_id: String,
    /// The version that events and answers carry. The shapes are those of [`API_VERSION`] whatever it says.
    pub api_version: String,
    /// Drives ids and delivery faults. `None` takes a random one: two runs against one database must not make
    /// the same ids.
    pub seed: Option<u64>,
    /// Off by default.
    pub rate_limit: Option<RateLimit>,
    /// How events are delivered.
    pub delivery: DeliveryOptions,
}

impl Default for StripeOptions {
    fn default() -> Self {
        Self {
            api_key: "sk_test_51RecoupStandInKey0000000000".to_owned(),
            account_id: "acct_1RecoupStandIn00".to_owned(),
            api_version: API_VERSION.to_owned(),
            seed: None,
            rate_limit: None,
            delivery: DeliveryOptions::default(),
        }
    }
}

/// A running stand-in. Clones are handles to the same one; it ends with the last.
#[derive(Clone)]
pub struct Stripe {
    running: Arc<Running>,
    /// The account that actions and snapshots of this handle are about.
    account: Arc<str>,
}

/// What ends with the last handle.
struct Running {
    shared: Arc<Shared>,
    address: SocketAddr,
    seed: u64,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.end.send_replace(true);
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// What requests and deliveries share.
struct Shared {
    world: Mutex<World>,
    queue: Arc<Queue>,
    limits: Arc<Mutex<Limits>>,
    api_keys: Mutex<ApiKeys>,
    requests: AtomicU64,
    /// When each of them arrived.
    arrivals: Mutex<Vec<Instant>>,
    connections: AtomicU64,
    end: watch::Sender<bool>,
}

#[derive(Default)]
struct ApiKeys {
    valid: Vec<String>,
    revoked: Vec<String>,
    /// What a restricted key may not do: method and beginning of the path.
    refused: HashMap<String, Vec<(String, String)>>,
    /// The account of a key that is not the platform's.
    accounts: HashMap<String, String>,
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no request panics while holding the world")
    }

    fn limits(&self) -> MutexGuard<'_, Limits> {
        self.limits.lock().expect("no request panics while holding the limits")
    }

    fn api_keys(&self) -> MutexGuard<'_, ApiKeys> {
        self.api_keys.lock().expect("no request panics while holding the keys")
    }

    /// Counts a request and gives the fault that is due to it.
    fn count_request(&self) -> Option<ApiFault> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.arrivals.lock().expect("no request panics while holding the arrivals").push(Instant::now());
        self.limits().faults.pop_front()
    }

    /// Waits until the stand-in ends.
    async fn ended(&self) {
        // An error means that the sender is gone: the end as well.
        let _ = self.end.subscribe().wait_for(|ended| *ended).await;
    }
}

impl Stripe {
    /// Starts a stand-in on a free loopback port.
    ///
    /// # Errors
    /// When no loopback port can be bound.
    pub async fn start(options: StripeOptions) -> io::Result<Self> {
        let seed = options.seed.unwrap_or_else(rand::random);
        let queue = Arc::new(Queue::new(seed, options.delivery));
        let limits = Arc::new(Mutex::new(Limits::new(options.rate_limit)));
        let world =
            World::new(seed, &options.api_version, &options.account_id, queue.clone(), limits.clone());
        let account = world.platform.clone();
        let shared = Arc::new(Shared {
            world: Mutex::new(world),
            queue: queue.clone(),
            limits,
            api_keys: Mutex::new(ApiKeys { valid: vec![options.api_key], ..ApiKeys::default() }),
            requests: AtomicU64::new(0),
            arrivals: Mutex::default(),
            connections: AtomicU64::new(0),
            end: watch::Sender::new(false),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let tasks = vec![
            tokio::spawn(deliveries::run(shared.clone(), queue)),
            tokio::spawn(let_time_pass(shared.clone())),
        ];
        // Not among the tasks: it ends by itself, closing its connections.
        tokio::spawn(serve(listener, shared.clone()));
        Ok(Self { running: Arc::new(Running { shared, address, seed, tasks }), account })
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let counted = shared.clone();
    let listener = listener.tap_io(move |stream| {
        counted.connections.fetch_add(1, Ordering::Relaxed);
        // Without it answers wait for the client's delayed acknowledgements; a failure only costs time.
        let _ = stream.set_nodelay(true);
    });
    let ended = {
        let shared = shared.clone();
        async move { shared.ended().await }
    };
    let router = Router::new().fallback(http::handle).with_state(shared);
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(ended).await {
        tracing::error!(%error, "serve the Stripe stand-in");
    }
}

/// In real time what is due happens without anyone asking.
async fn let_time_pass(shared: Arc<Shared>) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        second.tick().await;
        shared.world().catch_up();
    }
}
