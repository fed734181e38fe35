//! The Rust handle: what a test does with the stand-in besides its API.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::clock::Clock;
use super::deliveries::{DeliveryAttempt, DeliveryStats, Faults};
use super::errors::{ApiError, Refusal};
use super::events::Origin;
use super::form;
use super::json;
use super::kinds::Kind;
use super::limits::{ApiFault, RateLimit};
use super::pages::Reply;
use super::resources::accounts;
use super::resources::checkout_buyer::{self, Buyer, Outcome};
use super::resources::refunds::{self, RefundHabit, RefundOutcome};
use super::resources::webhook_endpoints::{self, NewEndpoint};
use super::world::Call;
use super::{Shared, Stripe, errors, router};

/// Deliveries were still queued or under way when the time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsettled {
    /// How many.
    pub outstanding: usize,
}

impl std::fmt::Display for Unsettled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} deliveries are still outstanding: see the delivery log for what receivers answer",
            self.outstanding
        )
    }
}

impl std::error::Error for Unsettled {}

/// Where it is and who may ask.
impl Stripe {
    /// The base URL for clients, without `/v1`.
    pub fn api_base(&self) -> String {
        format!("http://{}", self.running.address)
    }

    /// The first key that is in force; empty when all are revoked.
    pub fn api_key(&self) -> String {
        self.shared().api_keys().valid.first().cloned().unwrap_or_default()
    }

    /// Accepts a further key.
    pub fn add_api_key(&self, key: &str) {
        self.shared().api_keys().valid.push(key.to_owned());
    }

    /// Accepts a restricted key, which may not do these: a method and how the path begins.
    pub fn add_restricted_key(&self, key: &str, refused: &[(&str, &str)]) {
        self.add_api_key(key);
        let refused = refused.iter().map(|(method, path)| ((*method).to_owned(), (*path).to_owned()));
        self.shared().api_keys().refused.insert(key.to_owned(), refused.collect());
    }

    /// Accepts a key of another account, which has nothing yet.
    pub fn add_key_of_other_account(&self, key: &str, account: &str) {
        self.account(account);
        self.add_api_key(key);
        self.shared().api_keys().accounts.insert(key.to_owned(), account.to_owned());
    }

    /// Refuses a key from now on, as expired.
    pub fn revoke_api_key(&self, key: &str) {
        let mut keys = self.shared().api_keys();
        keys.valid.retain(|valid| valid != key);
        keys.revoked.push(key.to_owned());
    }

    /// The account that this handle is about.
    pub fn account_id(&self) -> &str {
        &self.account
    }

    /// A handle on a connected account, which is connected if it was not yet.
    pub fn account(&self, id: &str) -> Self {
        let account: Arc<str> = id.into();
        let mut world = self.shared().world();
        let platform = world.platform.clone();
        if account != platform {
            accounts::ensure(&mut world.call(&platform, Origin::default()), id);
        }
        drop(world);
        Self { running: self.running.clone(), account }
    }

    /// The seed that ids and faults came from; start with it to see the same again.
    pub fn seed(&self) -> u64 {
        self.running.seed
    }
}

/// Data.
impl Stripe {
    /// Carries out an API request without HTTP, key, limits and idempotency: the fast way to make much.
    /// `path` starts with `/v1/`; `form` is encoded as for HTTP.
    ///
    /// # Errors
    /// What the API would refuse.
    pub fn request(&self, method: &str, path: &str, form: &str) -> Result<Value, Refusal> {
        self.act(|call| {
            let entries = form::parse(form)?;
            let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
            match router::route(call, method, &segments, &entries)? {
                Some(Reply::Object(text)) => Ok(json::parse(&text)),
                Some(Reply::Page(page)) => Ok(json::parse(&page.render())),
                None => Err(ApiError::unknown_url(method, path)),
            }
        })
    }

    /// An object of any type as it is now.
    pub fn object(&self, id: &str) -> Option<Value> {
        let kind = Kind::of_id(id)?;
        self.act(|call| Ok(call.get(kind, id))).ok().flatten()
    }

    /// Stores an object as it is given, new or in the place of the one with its id; tells nobody. For what Stripe would
    /// never say, and to make much quickly.
    pub fn put(&self, object: &Value) {
        let kind = Kind::of_object(object["object"].as_str().unwrap_or_default());
        let kind = kind.expect("an object of a type that the stand-in has");
        let stored = self.act(|call| {
            let known = call.text(kind, object["id"].as_str().unwrap_or_default()).is_some();
            Ok(if known { call.replace(kind, object) } else { call.insert(kind, object) })
        });
        stored.expect("storing refuses nothing");
    }

    /// An object is gone, and nobody is told.
    pub fn forget(&self, id: &str) {
        if let Some(kind) = Kind::of_id(id) {
            let forgotten = self.act(|call| Ok(call.remove(kind, id)));
            forgotten.expect("forgetting refuses nothing");
        }
    }

    /// A connected account leaves the platform: no request may be about it any more.
    pub fn disconnect(&self, id: &str) {
        self.shared().world().accounts.remove(id);
    }

    /// How many objects there are of a type, e.g. `charge`.
    pub fn count(&self, object: &str) -> usize {
        let mut world = self.shared().world();
        let call = world.call(&self.account, Origin::default());
        Kind::of_object(object).and_then(|kind| call.books().table(kind)).map_or(0, super::table::Table::len)
    }

    /// All events of the account, oldest first.
    pub fn events(&self) -> Vec<Value> {
        let world = self.shared().world();
        world.accounts[&self.account].events.bodies().map(|event| json::parse(&event.render())).collect()
    }

    /// The types of all events of the account, oldest first.
    pub fn event_types(&self) -> Vec<String> {
        let world = self.shared().world();
        world.accounts[&self.account].events.bodies().map(|event| event.kind.to_string()).collect()
    }

    /// How many events the account has.
    pub fn event_count(&self) -> usize {
        self.shared().world().accounts[&self.account].events.len()
    }

    /// Records and delivers an event that the stand-in does not make itself; gives its id.
    pub fn emit(&self, kind: &str, object: &Value, previous_attributes: Option<&Value>) -> String {
        let mut world = self.shared().world();
        let mut call = world.call(&self.account, Origin::default());
        call.emit(kind, json::compact(object).into(), previous_attributes).id.to_string()
    }
}

/// Test actions: what buyers, banks and time do.
impl Stripe {
    /// A buyer completes a checkout session; gives the session.
    ///
    /// # Errors
    /// When the session is unknown or not open.
    pub fn complete_checkout(&self, session: &str, outcome: Outcome) -> Result<Value, Refusal> {
        self.complete_checkout_as(session, outcome, &Buyer::default())
    }

    /// The same for a certain buyer.
    ///
    /// # Errors
    /// When the session is unknown or not open, or the payment method is unknown or declined.
    pub fn complete_checkout_as(
        &self,
        session: &str,
        outcome: Outcome,
        buyer: &Buyer,
    ) -> Result<Value, Refusal> {
        self.act(|call| {
            checkout_buyer::complete(call, session, outcome, buyer).map(|text| json::parse(&text))
        })
    }

    /// The bank pays, or does not, for a session completed as [`Outcome::Unpaid`]; gives the session.
    ///
    /// # Errors
    /// When the session is unknown or waits for no bank.
    pub fn finish_async_payment(&self, session: &str, paid: bool) -> Result<Value, Refusal> {
        self.act(|call| checkout_buyer::finish_async(call, session, paid).map(|text| json::parse(&text)))
    }

    /// Ends a refund that is not final; gives the refund.
    ///
    /// # Errors
    /// When the refund is unknown or final.
    pub fn finish_refund(&self, refund: &str, outcome: RefundOutcome) -> Result<Value, Refusal> {
        self.act(|call| refunds::finish(call, refund, outcome).map(|text| json::parse(&text)))
    }

    /// What becomes of refunds made from now on.
    pub fn set_refund_habit(&self, habit: RefundHabit) {
        self.shared().world().refund_habit = habit;
    }

    /// The clock, to read; set it through [`Stripe::set_clock`] so that what is due happens at once.
    pub fn clock(&self) -> Clock {
        self.shared().world().clock.clone()
    }

    /// Stops the clock at this second since 1970.
    pub fn set_clock(&self, unix_seconds: i64) {
        let mut world = self.shared().world();
        world.clock.set(unix_seconds);
        world.catch_up();
    }

    /// Moves the clock on by so many seconds; it stands still from then on.
    pub fn advance_clock(&self, seconds: i64) {
        let mut world = self.shared().world();
        world.clock.advance(seconds);
        world.catch_up();
    }
}

/// Endpoints and deliveries.
impl Stripe {
    /// Adds an endpoint of this handle's account with a secret of the caller's; `"*"` means all events. Gives
    /// its id.
    pub fn add_endpoint(&self, url: &str, secret: &str, enabled_events: &[&str]) -> String {
        self.new_endpoint(url, secret, enabled_events, false)
    }

    /// Adds an endpoint that hears of connected accounts' events. Gives its id.
    pub fn add_connect_endpoint(&self, url: &str, secret: &str, enabled_events: &[&str]) -> String {
        self.new_endpoint(url, secret, enabled_events, true)
    }

    fn new_endpoint(&self, url: &str, secret: &str, enabled_events: &[&str], connect: bool) -> String {
        let mut world = self.shared().world();
        let mut call = world.call(&self.account, Origin::default());
        let new = NewEndpoint {
            url: url.to_owned(),
            secret: secret.into(),
            enabled_events: enabled_events.iter().map(|event| (*event).to_owned()).collect(),
            connect,
            api_version: Value::Null,
            description: Value::Null,
            metadata: json!({}),
        };
        webhook_endpoints::add(&mut call, new)["id"].as_str().unwrap_or_default().to_owned()
    }

    /// Rolls an endpoint's secret: deliveries are signed with the new one and, while they overlap, the old ones.
    /// Does nothing for an unknown endpoint.
    pub fn roll_secret(&self, endpoint: &str, secret: &str, overlap: bool) {
        if let Some(endpoint) = self.shared().world().endpoints.get_mut(endpoint) {
            if !overlap {
                endpoint.secrets.clear();
            }
            endpoint.secrets.insert(0, secret.into());
        }
    }

    /// Ends the overlap: only the newest secret signs.
    pub fn end_secret_overlap(&self, endpoint: &str) {
        if let Some(endpoint) = self.shared().world().endpoints.get_mut(endpoint) {
            endpoint.secrets.truncate(1);
        }
    }

    /// Sets what goes wrong with deliveries; `Faults::default()` is nothing.
    pub fn faults(&self, faults: Faults) {
        self.shared().queue.set_faults(faults);
    }

    /// Holds all deliveries that are not under way.
    pub fn pause_deliveries(&self) {
        self.shared().queue.set_paused(true);
    }

    /// Goes on with deliveries.
    pub fn resume_deliveries(&self) {
        self.shared().queue.set_paused(false);
    }

    /// Waits until every delivery has ended: delivered, dropped, given up or cancelled.
    ///
    /// # Errors
    /// When some have not after `timeout`.
    pub async fn settle(&self, timeout: Duration) -> Result<(), Unsettled> {
        self.shared().queue.settle(timeout).await.map_err(|outstanding| Unsettled { outstanding })
    }

    /// Counts of deliveries since the start.
    pub fn delivery_stats(&self) -> DeliveryStats {
        self.shared().queue.stats()
    }

    /// Every attempt since the start, in the order in which they ended.
    pub fn delivery_log(&self) -> Vec<DeliveryAttempt> {
        self.shared().queue.attempts()
    }

    /// Delivers an event again, as `stripe events resend` does.
    ///
    /// # Errors
    /// When the event is unknown.
    pub fn resend(&self, event: &str) -> Result<(), Refusal> {
        self.request("POST", &format!("/v1/events/{event}/retry"), "").map(drop)
    }
}

/// Load and its limits.
impl Stripe {
    /// API requests over HTTP since the start, refused ones included, test actions not.
    pub fn request_count(&self) -> u64 {
        self.shared().requests.load(Ordering::Relaxed)
    }

    /// When the requests that [`Stripe::request_count`] counts arrived, in their order.
    pub fn arrivals(&self) -> Vec<Instant> {
        self.shared().arrivals.lock().expect("no request panics while holding the arrivals").clone()
    }

    /// Connections that were made since the start.
    pub fn connection_count(&self) -> u64 {
        self.shared().connections.load(Ordering::Relaxed)
    }

    /// No failure that was asked for is left.
    pub fn heal(&self) {
        self.shared().limits().faults.clear();
    }

    /// Limits requests from now on, or no longer.
    pub fn set_rate_limit(&self, limit: Option<RateLimit>) {
        self.shared().limits().set_rate(limit);
    }

    /// The next `count` requests fail this way.
    pub fn fail_next(&self, count: usize, fault: ApiFault) {
        self.shared().limits().faults.extend(std::iter::repeat_n(fault, count));
    }

    fn shared(&self) -> &Shared {
        &self.running.shared
    }

    fn act<T>(&self, action: impl FnOnce(&mut Call) -> errors::Result<T>) -> Result<T, Refusal> {
        let mut world = self.shared().world();
        world.catch_up();
        let mut call = world.call(&self.account, Origin::default());
        action(&mut call).map_err(Refusal::from)
    }
}
