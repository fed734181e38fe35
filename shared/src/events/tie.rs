//! Ties: events of one object, in one second, equally far in its life.
//!
//! The statement that applies such an event sees the tie and marks the object's row (`needs_refetch`) in the same
//! commit. Then the order is looked for in the events themselves. An update says what it changed
//! (`data.previous_attributes`), so its object as it was before is known; where all events of the tie form one
//! chain, each beginning where the one before it ended, the last of the chain is the object. Its values are
//! written and the mark goes. Where they do not, the mark stays, and `reconcile {"action":"retry"}` asks Stripe.
//!
//! What is decided follows from all events of the tie that the inbox has, never from the order in which they
//! came: each one that arrives opens the question again.

use serde::Deserialize;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::effect::{Effect, Understood};
use super::envelope::Event;
use super::inbox::{CONFLICT_ATTEMPTS_MAX, met_another, pause, write_again};

/// More events of one object in one second than this are not put in order; Stripe is asked instead.
const CHAIN_EVENTS_MAX: usize = 8;

/// The tables whose rows mirror an object that several events can change in one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mirror {
    /// `customers`
    Customers,
    /// `catalog_items`
    CatalogItems,
    /// `payments`
    Payments,
    /// `charges`
    Charges,
    /// `refunds`
    Refunds,
    /// `disputes`
    Disputes,
    /// `subscriptions`
    Subscriptions,
    /// `invoices`
    Invoices,
    /// `connected_accounts`
    ConnectedAccounts,
    /// `payouts`
    Payouts,
}

impl Mirror {
    /// The table's name in schema `recoup`.
    pub fn table(self) -> &'static str {
        match self {
            Self::Customers => "customers",
            Self::CatalogItems => "catalog_items",
            Self::Payments => "payments",
            Self::Charges => "charges",
            Self::Refunds => "refunds",
            Self::Disputes => "disputes",
            Self::Subscriptions => "subscriptions",
            Self::Invoices => "invoices",
            Self::ConnectedAccounts => "connected_accounts",
            Self::Payouts => "payouts",
        }
    }
}

/// Settles the tie that `event` is in, as far as its events allow.
///
/// # Errors
/// Postgres' own. The object stays marked then.
pub async fn settle(
    connection: &mut PgConnection,
    event: &Event<'_>,
    effect: &Effect,
) -> Result<(), sqlx::Error> {
    let mut attempt = 1;
    loop {
        match settle_once(connection, event, effect).await {
            Err(error) if attempt < CONFLICT_ATTEMPTS_MAX && met_another(&error) => {
                pause(attempt).await;
                attempt += 1;
            }
            settled => return settled,
        }
    }
}

async fn settle_once(
    connection: &mut PgConnection,
    event: &Event<'_>,
    effect: &Effect,
) -> Result<(), sqlx::Error> {
    let Some((mirror, object_id)) = effect.mirrors() else { return Ok(()) };
    let (table, rank) = (mirror.table(), effect.rank());
    // Unnamed statements in an explicit transaction, and nothing taken from the session: right behind a pooler too.
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql("set transaction isolation level repeatable read").execute(&mut *transaction).await?;
    let payloads: Vec<String> = sqlx::query_scalar(
        "select payload from recoup.webhook_events
         where created = $1 and status = 'processed' and strpos(payload, $2) > 0",
    )
    .bind(event.created)
    .bind(object_id)
    .persistent(false)
    .fetch_all(&mut *transaction)
    .await?;
    let tied: Vec<Tied<'_>> = payloads
        .iter()
        .filter_map(|payload| Tied::read(payload))
        .filter(|tied| tied.effect.mirrors() == Some((mirror, object_id)) && tied.effect.rank() == rank)
        .collect();
    let Some(decision) = decide(&tied) else { return transaction.rollback().await };
    let last = &tied[decision.last];
    // A newer event may have come meanwhile: then there is nothing left to settle.
    let named = sqlx::query(AssertSqlSafe(format!(
        "update recoup.{table} set event_id = $4, needs_refetch = false
         where id = $1 and event_created = $2 and event_rank = $3"
    )))
    .bind(object_id)
    .bind(event.created)
    .bind(rank)
    .bind(&last.event.id)
    .persistent(false)
    .execute(&mut *transaction)
    .await?;
    if named.rows_affected() == 1 {
        write_again(&mut transaction, &last.event, &last.effect, rank).await?;
        if !decision.certain {
            let mark = format!("update recoup.{table} set needs_refetch = true where id = $1");
            sqlx::query(AssertSqlSafe(mark))
                .bind(object_id)
                .persistent(false)
                .execute(&mut *transaction)
                .await?;
        }
    }
    transaction.commit().await
}

/// An event of a tie.
struct Tied<'a> {
    event: Event<'a>,
    effect: Effect,
    object: Value,
    /// The object before the event, where the event says what it changed.
    before: Option<Value>,
}

impl<'a> Tied<'a> {
    fn read(payload: &'a str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Body {
            data: Data,
        }
        #[derive(Deserialize)]
        struct Data {
            object: Value,
            previous_attributes: Option<Value>,
        }
        let event = Event::read(payload.as_bytes());
        let Ok(Understood::Effect(effect)) = Effect::read(&event.kind, event.object.as_ref().ok()?) else {
            return None;
        };
        let Body { data: Data { object, previous_attributes } } = serde_json::from_str(payload).ok()?;
        let before = previous_attributes.map(|previous| rewound(&object, &previous));
        Some(Self { event, effect, object, before })
    }

    /// What the rows keep of the object.
    fn kept(&self) -> String {
        // An effect is made of what its statement binds, and its Debug text of that.
        format!("{:?}", self.effect)
    }
}

/// The last event of a tie, and whether that is certain.
#[derive(Debug, PartialEq, Eq)]
struct Decision {
    last: usize,
    certain: bool,
}

/// `None` where there is nothing to decide on.
fn decide(tied: &[Tied<'_>]) -> Option<Decision> {
    let by_id = |&one: &usize, &other: &usize| tied[one].event.id.cmp(&tied[other].event.id);
    let greatest = (0..tied.len()).max_by(by_id)?;
    let alike = |events: &[usize]| events.windows(2).all(|pair| tied[pair[0]].kept() == tied[pair[1]].kept());
    let all: Vec<usize> = (0..tied.len()).collect();
    if alike(&all) {
        return Some(Decision { last: greatest, certain: true });
    }
    if tied.len() <= CHAIN_EVENTS_MAX {
        let mut lasts = chain_ends(tied);
        lasts.sort_unstable();
        lasts.dedup();
        if let (true, Some(last)) = (alike(&lasts), lasts.iter().copied().max_by(by_id)) {
            return Some(Decision { last, certain: true });
        }
    }
    // Not certain, and still the same whatever came first.
    Some(Decision { last: greatest, certain: false })
}

/// The last events of all chains that have every event of the tie.
fn chain_ends(tied: &[Tied<'_>]) -> Vec<usize> {
    let follows: Vec<Vec<bool>> = tied
        .iter()
        .map(|first| {
            tied.iter()
                .map(|then| then.before.as_ref().is_some_and(|before| same(before, &first.object)))
                .collect()
        })
        .collect();
    let mut ends = Vec::new();
    let mut used = vec![false; tied.len()];
    for first in 0..tied.len() {
        extend(&follows, first, 1, &mut used, &mut ends);
    }
    ends
}

/// At most [`CHAIN_EVENTS_MAX`] deep.
fn extend(follows: &[Vec<bool>], at: usize, length: usize, used: &mut [bool], ends: &mut Vec<usize>) {
    if length == follows.len() {
        ends.push(at);
        return;
    }
    used[at] = true;
    for next in 0..follows.len() {
        if !used[next] && follows[at][next] {
            extend(follows, next, length + 1, used, ends);
        }
    }
    used[at] = false;
}

/// An object as it was before what `previous` tells of. Stripe names the fields that changed, inside of objects
/// as well, with the values that they had; `null` for what was not there.
fn rewound(object: &Value, previous: &Value) -> Value {
    match (object, previous) {
        (Value::Object(fields), Value::Object(changed)) => {
            let mut fields = fields.clone();
            for (name, before) in changed {
                let now = fields.get(name).unwrap_or(&Value::Null);
                let then = rewound(now, before);
                fields.insert(name.clone(), then);
            }
            Value::Object(fields)
        }
        _ => previous.clone(),
    }
}

/// Equality to which an absent field is a `null` one.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let of = |fields: &serde_json::Map<String, Value>, name: &str| {
                fields.get(name).cloned().unwrap_or(Value::Null)
            };
            one.keys().chain(other.keys()).all(|name| same(&of(one, name), &of(other, name)))
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Customers' updates: event id, name after, name before.
    fn decided(updates: &[(&str, &str, Option<&str>)]) -> Option<(String, bool)> {
        let payloads: Vec<String> = updates
            .iter()
            .map(|(id, name, before)| {
                let previous = before.map(|before| json!({"name": before}));
                let mut data = json!({"object": {"id": "cus_1", "object": "customer", "name": name}});
                if let Some(previous) = previous {
                    data["previous_attributes"] = previous;
                }
                json!({"id": id, "type": "customer.updated", "created": 1, "livemode": false, "data": data})
                    .to_string()
            })
            .collect();
        let tied: Vec<Tied<'_>> =
            payloads.iter().map(|payload| Tied::read(payload).expect("an event")).collect();
        decide(&tied).map(|decision| (tied[decision.last].event.id.clone(), decision.certain))
    }

    #[test]
    fn a_chain_is_settled_in_any_order_of_arrival() {
        let chain = [("evt_9", "B", Some("A")), ("evt_1", "C", Some("B")), ("evt_5", "D", Some("C"))];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            assert_eq!(decided(&order.map(|at| chain[at])), Some(("evt_5".to_owned(), true)));
        }
        assert_eq!(
            decided(&[chain[2], chain[0]]),
            Some(("evt_9".to_owned(), false)),
            "the middle is missing"
        );
    }

    #[test]
    fn what_cannot_be_known_is_not_claimed() {
        let there_and_back = [("evt_1", "B", Some("A")), ("evt_2", "A", Some("B"))];
        assert_eq!(decided(&there_and_back), Some(("evt_2".to_owned(), false)));
        assert_eq!(decided(&[("evt_1", "A", None), ("evt_2", "B", None)]), Some(("evt_2".to_owned(), false)));
        assert_eq!(decided(&[("evt_1", "A", None), ("evt_2", "A", None)]), Some(("evt_2".to_owned(), true)));
        let thrice = [("evt_1", "B", Some("A")), ("evt_2", "A", Some("B")), ("evt_3", "B", Some("A"))];
        assert_eq!(decided(&thrice), Some(("evt_3".to_owned(), true)), "both ways it ends as B");
        assert_eq!(decided(&[]), None);
    }

    #[test]
    fn a_change_inside_of_an_object_is_rewound() {
        let object = json!({"metadata": {"a": "1", "b": "2"}, "list": [1, 2]});
        let before = rewound(&object, &json!({"metadata": {"b": null}, "list": [1]}));
        assert!(same(&before, &json!({"metadata": {"a": "1"}, "list": [1]})));
        assert!(!same(&before, &object));
    }
}
