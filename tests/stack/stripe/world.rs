//! All data of the stand-in, and one request's view of it.
//!
//! One lock guards the whole: a request is one step that nothing sees half done, and events are emitted in
//! the order in which the changes happened.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::agenda::{self, Agenda};
use super::clock::Clock;
use super::deliveries::Queue;
use super::errors::{ApiError, Result};
use super::events::{EventRecord, Origin};
use super::idempotency::Kept;
use super::ids::Ids;
use super::json;
use super::kinds::Kind;
use super::limits::Limits;
use super::resources::refunds::RefundHabit;
use super::resources::{balance_transactions, checkout_sessions};
use super::table::{Key, Query, Table};

/// A receiver of deliveries, with what its object does not show.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The account that made it.
    pub account: Arc<str>,
    pub url: Arc<str>,
    /// The secrets in force, the newest first.
    pub secrets: Vec<Arc<str>>,
    pub enabled_events: Vec<String>,
    /// Whether it hears of connected accounts instead of its own.
    pub connect: bool,
    pub enabled: bool,
}

/// The data of one account.
#[derive(Default)]
pub struct Books {
    tables: HashMap<Kind, Table<Arc<str>>>,
    pub events: Table<Arc<EventRecord>>,
    /// Line items by checkout session, in the order of the cart; `price` is an id here.
    pub line_items: HashMap<Arc<str>, Vec<Arc<str>>>,
    pub deleted_customers: HashSet<Arc<str>>,
    /// Open checkout sessions by the second at which they expire, with what their payment intent will be given.
    pub expiring: BTreeMap<(i64, Arc<str>), Value>,
    /// What happens by itself later.
    pub agenda: Agenda,
    /// The lines of each invoice, in order; the invoice itself shows the first of them.
    pub invoice_lines: HashMap<Arc<str>, Vec<Value>>,
    pub kept: HashMap<String, Kept>,
}

impl Books {
    fn is_due(&self, now: i64) -> bool {
        let session = self.expiring.first_key_value().is_some_and(|((at, _), _)| *at <= now);
        session || self.agenda.is_due(now)
    }

    pub fn table(&self, kind: Kind) -> Option<&Table<Arc<str>>> {
        self.tables.get(&kind)
    }
}

/// All accounts.
pub struct World {
    pub ids: Ids,
    pub clock: Clock,
    pub api_version: Arc<str>,
    /// The account that the API key belongs to.
    pub platform: Arc<str>,
    pub accounts: HashMap<Arc<str>, Books>,
    pub endpoints: BTreeMap<Arc<str>, Endpoint>,
    pub queue: Arc<Queue>,
    pub limits: Arc<Mutex<Limits>>,
    pub refund_habit: RefundHabit,
    pub account_created: i64,
}

impl World {
    pub fn new(
        seed: u64,
        api_version: &str,
        platform: &str,
        queue: Arc<Queue>,
        limits: Arc<Mutex<Limits>>,
    ) -> Self {
        let clock = Clock::real();
        let platform: Arc<str> = platform.into();
        let account_created = clock.now();
        Self {
            ids: Ids::new(seed),
            clock,
            api_version: api_version.into(),
            accounts: HashMap::from([(platform.clone(), Books::default())]),
            platform,
            endpoints: BTreeMap::new(),
            queue,
            limits,
            refund_habit: RefundHabit::default(),
            account_created,
        }
    }

    /// A view for one request or test action on an account that exists.
    pub fn call(&mut self, account: &Arc<str>, origin: Origin) -> Call<'_> {
        let now = self.clock.now();
        Call { world: self, account: account.clone(), now, origin }
    }
}

/// One request's, or one test action's, view of an account.
pub struct Call<'w> {
    pub world: &'w mut World,
    pub account: Arc<str>,
    /// Seconds since 1970; the same for everything that the request makes.
    pub now: i64,
    /// What events say of their cause.
    pub origin: Origin,
}

impl Call<'_> {
    pub fn books(&self) -> &Books {
        &self.world.accounts[&self.account]
    }

    pub fn books_mut(&mut self) -> &mut Books {
        self.world.accounts.get_mut(&self.account).expect("calls are made on accounts that exist")
    }

    /// An object's text as it is now.
    pub fn text(&self, kind: Kind, id: &str) -> Option<Arc<str>> {
        let table = self.books().table(kind)?;
        let text = table.get(id)?.clone();
        Some(self.present(kind, text))
    }

    /// What a reader sees of a stored text.
    pub fn present(&self, kind: Kind, text: Arc<str>) -> Arc<str> {
        match kind {
            Kind::BalanceTransaction => balance_transactions::present(text, self.now),
            _ => text,
        }
    }

    pub fn get(&self, kind: Kind, id: &str) -> Option<Value> {
        self.text(kind, id).map(|text| json::parse(&text))
    }

    /// An object that the path names: 404 when unknown.
    pub fn find(&self, kind: Kind, id: &str) -> Result<Value> {
        self.get(kind, id).ok_or_else(|| ApiError::no_such(kind.noun(), id, kind.path_param(), 404))
    }

    /// An object that a parameter names: 400 when unknown.
    pub fn referred(&self, kind: Kind, id: &str, param: &str) -> Result<Value> {
        self.get(kind, id).ok_or_else(|| ApiError::no_such(kind.noun(), id, param, 400))
    }

    /// An object that another object of the stand-in names: it is there.
    pub fn linked(&self, kind: Kind, id: &Value) -> Value {
        let id = id.as_str().expect("the caller checked that the link is set");
        self.get(kind, id).expect("objects link only to objects that exist")
    }

    /// Stores a new object; its text is shared by the events that show it.
    pub fn insert(&mut self, kind: Kind, object: &Value) -> Arc<str> {
        let text: Arc<str> = json::compact(object).into();
        let id: Arc<str> = id_of(object).into();
        let created = object["created"].as_i64().unwrap_or(self.now);
        let keys = keys(kind, object);
        self.books_mut().tables.entry(kind).or_default().insert(id, created, keys, text.clone());
        text
    }

    /// Stores an object's new state.
    pub fn replace(&mut self, kind: Kind, object: &Value) -> Arc<str> {
        let text: Arc<str> = json::compact(object).into();
        let keys = keys(kind, object);
        self.books_mut().tables.entry(kind).or_default().replace(id_of(object), keys, text.clone());
        text
    }

    /// All objects of a kind whose indexed field has this value, newest first.
    pub fn all_where(&self, kind: Kind, field: &'static str, value: &str) -> Vec<Value> {
        let query = Query { clauses: vec![vec![(field, value.into())]], ..Query::default() };
        let found = self.books().table(kind).map(|table| table.page(&query).0).unwrap_or_default();
        found.into_iter().map(|text| json::parse(text)).collect()
    }

    /// Stores what an update changed and tells of it; nothing happens when nothing differs.
    pub fn update(&mut self, kind: Kind, old: &Value, new: &Value, event: &str) -> Arc<str> {
        match json::previous_attributes(old, new) {
            None => json::compact(new).into(),
            Some(previous) => {
                let text = self.replace(kind, new);
                self.emit(event, text.clone(), Some(&previous));
                text
            }
        }
    }

    /// Removes an object and gives its last text.
    pub fn remove(&mut self, kind: Kind, id: &str) -> Option<Arc<str>> {
        self.books_mut().tables.get_mut(&kind)?.remove(id)
    }

    pub fn new_id(&mut self, prefix: &str, length: usize) -> Arc<str> {
        self.world.ids.make(prefix, length)
    }
}

/// The answer to a deletion.
pub fn deleted(kind_object: &str, id: &str) -> Arc<str> {
    json::compact(&json!({ "id": id, "object": kind_object, "deleted": true })).into()
}

fn id_of(object: &Value) -> &str {
    object["id"].as_str().expect("every stored object has an id")
}

fn keys(kind: Kind, object: &Value) -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::new();
    for field in kind.indexed() {
        for value in values_at(object, field) {
            let text: Arc<str> = match value {
                Value::String(text) => text.as_str().into(),
                Value::Bool(flag) => flag.to_string().into(),
                // No text that is set is empty.
                Value::Null => "".into(),
                _ => continue,
            };
            keys.push((*field, text));
        }
    }
    keys
}

/// What a dotted path leads to; `name[]` goes on with each entry of a list.
fn values_at<'v>(object: &'v Value, path: &str) -> Vec<&'v Value> {
    path.split('.').fold(vec![object], |values, name| match name.strip_suffix("[]") {
        None => values.into_iter().filter_map(|value| value.get(name)).collect(),
        Some(list) => values.into_iter().filter_map(|value| value.get(list)?.as_array()).flatten().collect(),
    })
}

impl World {
    /// Has everything happen that is due by now, in the order of its time, dated by it.
    pub fn catch_up(&mut self) {
        let now = self.clock.now();
        let late: Vec<Arc<str>> = self
            .accounts
            .iter()
            .filter(|(_, books)| books.is_due(now))
            .map(|(account, _)| account.clone())
            .collect();
        for account in late {
            let mut call = self.call(&account, Origin::default());
            checkout_sessions::expire_due(&mut call);
            while let Some((at, due)) = call.books_mut().agenda.take(now) {
                call.now = at;
                agenda::happen(&mut call, due);
            }
        }
    }
}
