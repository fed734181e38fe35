//! The event log: frozen snapshots of what happened, in order, and which of them were delivered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use super::errors::{ApiError, Result};
use super::form::Params;
use super::json;
use super::pages::{self, Page, Reply};
use super::table::{Key, Query};
use super::world::{Books, Call, World};

/// What `request` in an event says: both `None` when Stripe itself caused it.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    pub request_id: Option<Arc<str>>,
    pub idempotency_key: Option<Arc<str>>,
}

/// One event. Only its count of deliveries still to come changes.
#[derive(Debug)]
pub struct EventRecord {
    pub id: Arc<str>,
    pub kind: Arc<str>,
    pub created: i64,
    pub api_version: Arc<str>,
    /// The connected account; `None` for the platform's own events.
    pub account: Option<Arc<str>>,
    /// The object's text at that moment, shared with the store while the object stays as it was.
    pub object: Arc<str>,
    pub previous: Option<Arc<str>>,
    pub origin: Origin,
    /// Endpoints that have not yet answered 2xx.
    pub pending: AtomicU32,
}

impl EventRecord {
    /// The event's JSON, compact.
    pub fn render(&self) -> String {
        let account =
            self.account.as_deref().map_or(String::new(), |id| format!(r#""account":{},"#, json::quote(id)));
        let previous = self
            .previous
            .as_deref()
            .map_or(String::new(), |previous| format!(r#","previous_attributes":{previous}"#));
        format!(
            r#"{{"id":{id},"object":"event",{account}"api_version":{version},"created":{created},"data":{{"object":{object}{previous}}},"livemode":false,"pending_webhooks":{pending},"request":{{"id":{request},"idempotency_key":{key}}},"type":{kind}}}"#,
            id = json::quote(&self.id),
            version = json::quote(&self.api_version),
            created = self.created,
            object = self.object,
            pending = self.pending.load(Ordering::SeqCst),
            request = json::quote_or_null(self.origin.request_id.as_deref()),
            key = json::quote_or_null(self.origin.idempotency_key.as_deref()),
            kind = json::quote(&self.kind),
        )
    }

    /// What `GET /v1/events` filters by.
    fn keys(&self) -> Vec<Key> {
        let delivered = self.pending.load(Ordering::SeqCst) == 0;
        vec![("type", self.kind.clone()), ("delivery_success", delivered.to_string().into())]
    }
}

impl Call<'_> {
    /// Records that something happened and queues its deliveries.
    pub fn emit(&mut self, kind: &str, object: Arc<str>, previous: Option<&Value>) -> Arc<EventRecord> {
        let platform = self.account == self.world.platform;
        // Payment objects and their events share the leading 3; the rest have 1.
        let generation = if kind.starts_with("payment_intent.") || kind.starts_with("charge.") {
            "evt_3"
        } else {
            "evt_1"
        };
        let receivers: Vec<Arc<str>> = self.world.receivers(&self.account, kind);
        let event = Arc::new(EventRecord {
            id: self.new_id(generation, 23),
            kind: kind.into(),
            created: self.now,
            api_version: self.world.api_version.clone(),
            account: (!platform).then(|| self.account.clone()),
            object,
            previous: previous.map(|previous| json::compact(previous).into()),
            origin: self.origin.clone(),
            pending: AtomicU32::new(u32::try_from(receivers.len()).expect("far fewer endpoints than 2^32")),
        });
        let keys = event.keys();
        self.books_mut().events.insert(event.id.clone(), event.created, keys, event.clone());
        for endpoint in receivers {
            self.world.queue.enqueue(&event, endpoint);
        }
        event
    }
}

const TYPES_MAX: usize = 20;

/// `GET /v1/events`.
pub fn list(call: &Call, params: Params) -> Result<Reply> {
    pages::allow(params, &["created", "delivery_success", "type", "types"])?;
    let mut query = Query { created: pages::created(params)?, ..Query::default() };
    let types = params.texts("types")?;
    if let Some(types) = &types {
        if params.has("type") {
            let message = "You may only specify one of these parameters: type, types.";
            return Err(ApiError::invalid(None, message, "type"));
        }
        if types.len() > TYPES_MAX {
            let message = format!("You may only specify up to {TYPES_MAX} types.");
            return Err(ApiError::invalid(None, message, "types"));
        }
        query.clauses.push(types.iter().map(|kind| ("type", (*kind).into())).collect());
    }
    if let Some(kind) = params.text("type")? {
        query.clauses.push(call.books().types_like(kind));
    }
    if let Some(delivered) = params.boolean("delivery_success")? {
        query.clauses.push(vec![("delivery_success", delivered.to_string().into())]);
    }
    let events = &call.books().events;
    (query.limit, query.cursor) = pages::paging(params, "event", |id| events.position(id))?;
    let (found, has_more) = events.page(&query);
    let items = found.into_iter().map(|event| event.render().into()).collect();
    Ok(Reply::Page(Page { items, has_more, url: "/v1/events".to_owned() }))
}

/// `GET /v1/events/:id`.
pub fn retrieve(call: &Call, id: &str) -> Result<Arc<str>> {
    Ok(find(call, id)?.render().into())
}

fn find(call: &Call, id: &str) -> Result<Arc<EventRecord>> {
    call.books().events.get(id).cloned().ok_or_else(|| ApiError::no_such("event", id, "id", 404))
}

/// `POST /v1/events/:id/retry`: delivers an event again, as `stripe events resend` does; to one endpoint, or
/// to all that hear of such events.
pub fn retry(call: &mut Call, id: &str, params: Params) -> Result<Arc<str>> {
    params.allow(&["account", "webhook_endpoint"], &[])?;
    let event = find(call, id)?;
    let receivers = match params.text("webhook_endpoint")? {
        None => call.world.receivers(&call.account, &event.kind),
        Some(endpoint) => match call.world.endpoints.get_key_value(endpoint) {
            Some((endpoint, _)) => vec![endpoint.clone()],
            None => return Err(ApiError::no_such("webhook endpoint", endpoint, "webhook_endpoint", 400)),
        },
    };
    for endpoint in receivers {
        call.world.queue.enqueue(&event, endpoint);
    }
    Ok(event.render().into())
}

impl Books {
    /// The types that `type=charge.*` means, among those that occurred.
    fn types_like(&self, pattern: &str) -> Vec<Key> {
        match pattern.strip_suffix('*') {
            None => vec![("type", pattern.into())],
            Some(prefix) => {
                self.events.values_of("type").filter(|key| key.1.starts_with(prefix)).cloned().collect()
            }
        }
    }
}

impl World {
    /// The endpoints that hear of events of this type in this account.
    fn receivers(&self, account: &Arc<str>, kind: &str) -> Vec<Arc<str>> {
        let platform = *account == self.platform;
        self.endpoints
            .iter()
            .filter(|(_, endpoint)| endpoint.enabled)
            .filter(|(_, endpoint)| match endpoint.connect {
                true => !platform,
                false => endpoint.account == *account,
            })
            .filter(|(_, endpoint)| {
                endpoint.enabled_events.iter().any(|enabled| enabled == "*" || enabled == kind)
            })
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// Notes that one more endpoint has, or no longer needs, the event.
    pub fn mark_delivered(&mut self, event: &Arc<EventRecord>) {
        // A resent event may be delivered more often than it was pending.
        let lower = |pending: u32| pending.checked_sub(1);
        let _ = event.pending.fetch_update(Ordering::SeqCst, Ordering::SeqCst, lower);
        let account = event.account.as_ref().unwrap_or(&self.platform);
        if let Some(books) = self.accounts.get_mut(account) {
            books.events.replace(&event.id, event.keys(), event.clone());
        }
    }
}
