//! Histories of events, delivered to the webhook in the order that was and in every other.

use std::path::Path;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::{Value, json};
use sqlx::postgres::PgRow;
use stack::Stack;
use stack::records::{Records, STRIPE_DERIVED};

use crate::http::Http;
use crate::support::{count, records_of};

/// Beyond this many events not every permutation is tried, but so many at random.
const ALL_PERMUTATIONS_UP_TO: usize = 4;
const PERMUTATIONS: u64 = 24;

/// The second in which the histories of the fixtures begin.
pub const START: i64 = 1_790_000_000;

/// A stack whose webhook applies the events of connected accounts too.
pub async fn stack() -> Stack {
    let builder = Stack::builder().functions(["webhook"]).env("webhook", "STRIPE_ACCOUNTS", "all");
    builder.start().await.expect("a stack")
}

/// A history of a family, in the shapes of a year.
pub fn fixture(family: &str, year: &str) -> Vec<Value> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/fixtures").join(family).join(format!("{year}.json"));
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).expect("events")
}

/// An event, so many seconds after [`START`].
pub fn event(id: &str, kind: &str, seconds: i64, object: Value) -> Value {
    json!({
        "id": id, "object": "event", "api_version": "2026-09-30.endive", "created": START + seconds, "type": kind,
        "livemode": false, "pending_webhooks": 1, "request": {"id": null, "idempotency_key": null},
        "data": {"object": object},
    })
}

/// Ada buys for 100.00 with `pi_1` and `ch_1`: a course, a coaching session, two seats and five credits.
pub fn purchase() -> Vec<Value> {
    let session = json!({
        "id": "cs_1", "object": "checkout.session", "payment_status": "paid", "mode": "payment",
        "currency": "eur", "amount_total": 10_000, "amount_subtotal": 10_000, "payment_intent": "pi_1",
        "created": START - 60, "customer": "cus_1", "customer_details": {"email": "ada@example.com"},
        "metadata": {"recoup_items": r#"[{"kind":"course","ref":"rust-101","amount":3000},{"kind":"coaching","ref":"review","amount":2000},
            {"kind":"ticket","ref":"conf","quantity":2,"amount":4000},
            {"kind":"credits","ref":"reviews","quantity":5,"amount":1000}]"#},
    });
    vec![charge(), event("evt_bought", "checkout.session.completed", 0, session)]
}

/// The charge `ch_1` of [`purchase`].
pub fn charge() -> Value {
    let charge = json!({
        "id": "ch_1", "object": "charge", "amount": 10_000, "amount_captured": 10_000, "amount_refunded": 0,
        "captured": true, "created": START - 1, "currency": "eur", "customer": "cus_1",
        "payment_intent": "pi_1", "status": "succeeded",
    });
    event("evt_charged", "charge.succeeded", -1, charge)
}

/// Delivers one event; gives what became of it.
pub async fn deliver(stack: &Stack, http: &Http, event: &Value) -> String {
    let body = serde_json::to_vec_pretty(event).expect("json");
    let (status, answer) = http.deliver(stack, &body).await;
    assert_eq!(status, 200, "{answer}");
    answer["outcome"].as_str().expect("an outcome").to_owned()
}

/// Delivers events in this order, and expects each to be applied.
pub async fn apply(stack: &Stack, http: &Http, events: &[Value]) {
    for event in events {
        assert_eq!(deliver(stack, http, event).await, "applied", "{event:#}");
    }
}

/// Empties what events wrote.
pub async fn forget(stack: &Stack) {
    let tables: Vec<String> = STRIPE_DERIVED.iter().map(|table| format!("recoup.{table}")).collect();
    let statement = format!("truncate recoup.webhook_events, {}", tables.join(", "));
    sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&stack.pool).await.expect("emptied");
}

/// Applies the events in their true order, then in others, each time to empty tables and some of them twice: the
/// rows must be the same. Gives them; they are left in the tables.
pub async fn same_rows_in_any_order(stack: &Stack, http: &Http, events: &[Value]) -> Records {
    forget(stack).await;
    apply(stack, http, events).await;
    let expected = records_of(stack).await;
    for order in orders(events.len()) {
        forget(stack).await;
        for place in order.iter().chain(order.iter().step_by(2)) {
            deliver(stack, http, &events[*place]).await;
        }
        let found = records_of(stack).await;
        assert_eq!(expected.differences(&found), Vec::<String>::new(), "order {order:?}");
        let unsettled = "select count(*) from recoup.webhook_events where status <> 'processed'";
        assert_eq!(count(stack, unsettled).await, 0, "order {order:?}");
    }
    expected
}

/// All permutations of so many places, or many of them.
fn orders(length: usize) -> Vec<Vec<usize>> {
    if length > ALL_PERMUTATIONS_UP_TO {
        let shuffled = |seed| {
            let mut order: Vec<usize> = (0..length).collect();
            order.shuffle(&mut StdRng::seed_from_u64(seed));
            order
        };
        return std::iter::once((0..length).rev().collect()).chain((0..PERMUTATIONS).map(shuffled)).collect();
    }
    (0..length).fold(vec![Vec::new()], |shorter, place| {
        let inserted = |order: &Vec<usize>| {
            let order = order.clone();
            (0..=order.len()).map(move |at| [&order[..at], &[place][..], &order[at..]].concat())
        };
        shorter.iter().flat_map(inserted).collect()
    })
}

/// The one row of a query, as text: columns joined by spaces, nothing for null.
pub async fn row(stack: &Stack, query: &'static str) -> String {
    rows(stack, query).await.join("\n")
}

/// The rows of a query that gives one text each.
pub async fn rows(stack: &Stack, query: &'static str) -> Vec<String> {
    use sqlx::Row;
    let rows: Vec<PgRow> = sqlx::query(query).fetch_all(&stack.pool).await.expect("rows");
    rows.iter().map(|row| row.get::<Option<String>, _>(0).unwrap_or_default()).collect()
}

/// What the ledger holds, one text an entry.
pub async fn ledger(stack: &Stack) -> Vec<String> {
    rows(
        stack,
        "select concat_ws(' ', source_id, kind, debit_account, credit_account, amount, currency)
         from recoup.ledger_entries order by source_id, kind",
    )
    .await
}

/// How many grants are in force and how many were taken back.
pub async fn grants(stack: &Stack) -> (i64, i64) {
    let kept = "select count(*) from (
            select revoked_at from recoup.enrollments
            union all select revoked_at from recoup.coaching_sessions
            union all select revoked_at from recoup.tickets
            union all select revoked_at from recoup.credit_entries
        ) as grants where revoked_at is null";
    let revoked = "select count(*) from (
            select revoked_at from recoup.enrollments
            union all select revoked_at from recoup.coaching_sessions
            union all select revoked_at from recoup.tickets
            union all select revoked_at from recoup.credit_entries
        ) as grants where revoked_at is not null";
    (count(stack, kept).await, count(stack, revoked).await)
}
