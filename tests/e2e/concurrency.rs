//! Events of one sale at the same moment: each statement began before the other was committed, and none may act
//! on a state that lacks the other.

use std::time::{Duration, Instant};

use recoup::db;
use recoup::events::inbox::{Source, session_options};
use recoup::events::receive::{Accounts, Outcome, Rules, receive};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use stack::postgres::{Database, Postgres};

use crate::support::{NoneToFetch, PATIENCE};

const RULES: Rules = Rules { livemode: false, accounts: Accounts::None };

fn event(id: &str, kind: &str, created: i64, object: &Value) -> String {
    json!({"id": id, "type": kind, "created": created, "livemode": false, "data": {"object": object}})
        .to_string()
}

fn sale(name: &str, created: i64, items: &Value) -> String {
    let session = json!({
        "id": format!("cs_{name}"), "payment_status": "paid", "customer": "cus_1", "payment_intent": format!("pi_{name}"),
        "currency": "eur", "amount_total": 5000, "created": created, "metadata": {"recoup_items": items.to_string()},
    });
    event(&format!("evt_sale_{name}"), "checkout.session.completed", created, &session)
}

fn refund(name: &str, created: i64) -> String {
    let refund = json!({
        "id": format!("re_{name}"), "amount": 5000, "currency": "eur", "payment_intent": format!("pi_{name}"),
        "status": "succeeded", "created": created,
    });
    event(&format!("evt_refund_{name}"), "refund.created", created, &refund)
}

async fn session(database: &Database) -> PgConnection {
    let options = session_options(db::options(database.url(), "a test").expect("a URL"));
    db::connect(&options).await.expect("connected")
}

async fn apply(database: &Database, body: &str) {
    let mut connection = session(database).await;
    let received = receive(&mut connection, &NoneToFetch, &RULES, Source::Webhook, body.as_bytes()).await;
    assert_eq!(received.expect("written").outcome, Outcome::Applied);
}

/// Applies both while a third session holds the row where they meet, and lets that go once both wait for it, `one`
/// before `other`.
async fn at_the_same_moment(database: &Database, hold: &'static str, one: &str, other: &str) {
    let mut holder = session(database).await;
    let mut held = holder.begin().await.expect("begun");
    sqlx::query(hold).execute(&mut *held).await.expect("held");
    let later = async {
        until_waiting(database, 1).await;
        apply(database, other).await;
    };
    let release = async {
        until_waiting(database, 2).await;
        held.rollback().await.expect("let go");
    };
    tokio::join!(apply(database, one), later, release);
}

/// Returns when so many sessions wait for a lock.
async fn until_waiting(database: &Database, sessions: i64) {
    let waiting = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'";
    let began = Instant::now();
    while count(database, waiting).await < sessions {
        assert!(
            began.elapsed() < PATIENCE,
            "fewer than {sessions} sessions wait for a lock after {PATIENCE:?}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn count(database: &Database, query: &'static str) -> i64 {
    let mut connection = PgConnection::connect(database.url()).await.expect("connected");
    sqlx::query_scalar(query).fetch_one(&mut connection).await.expect("a count")
}

#[tokio::test]
async fn a_sale_and_its_refund_at_the_same_moment_leave_nothing_granted() {
    let postgres = Postgres::shared().await.expect("a server");
    let database = postgres.migrated_database().await.expect("a database");
    let items = json!([{"kind": "ticket", "ref": "conf", "quantity": 2}, {"kind": "credits", "ref": "c", "quantity": 5},
        {"kind": "course", "ref": "rust"}]);
    let hold = "insert into recoup.payment_orders (id) values ('pi_a'), ('pi_b') on conflict do nothing";
    at_the_same_moment(&database, hold, &sale("a", 100, &items), &refund("a", 200)).await;
    at_the_same_moment(&database, hold, &refund("b", 200), &sale("b", 100, &items)).await;
    assert_eq!(count(&database, "select count(*) from recoup.tickets where revoked_at is not null").await, 4);
    assert_eq!(
        count(&database, "select count(*) from recoup.credit_entries where revoked_at is not null").await,
        2
    );
    assert_eq!(
        count(&database, "select count(*) from recoup.enrollments where revoked_at is not null").await,
        1
    );
}

#[tokio::test]
async fn a_course_bought_again_while_the_first_order_is_refunded_stays() {
    let postgres = Postgres::shared().await.expect("a server");
    let database = postgres.migrated_database().await.expect("a database");
    let items = json!([{"kind": "course", "ref": "rust"}]);
    apply(&database, &sale("first", 100, &items)).await;
    // Both write the one enrollment of this customer in this course.
    let hold = "select from recoup.enrollments for update";
    at_the_same_moment(&database, hold, &sale("second", 200, &items), &refund("first", 300)).await;
    let kept = "select count(*) from recoup.enrollments where revoked_at is null and order_id = 'cs_second'";
    assert_eq!(count(&database, kept).await, 1);
}

#[tokio::test]
async fn two_parts_refunded_at_the_same_moment_add_up() {
    let postgres = Postgres::shared().await.expect("a server");
    let database = postgres.migrated_database().await.expect("a database");
    let items = json!([{"kind": "course", "ref": "rust"}]);
    apply(&database, &sale("a", 100, &items)).await;
    let part = |name: &str| {
        refund("a", 300)
            .replace("evt_refund_a", &format!("evt_{name}"))
            .replace("re_a", &format!("re_{name}"))
            .replace("5000", "2500")
    };
    let hold = "select from recoup.payment_orders for update";
    at_the_same_moment(&database, hold, &part("one"), &part("two")).await;
    assert_eq!(count(&database, "select amount_refunded from recoup.payments where id = 'pi_a'").await, 5000);
    assert_eq!(
        count(&database, "select count(*) from recoup.enrollments where revoked_at is not null").await,
        1
    );
}

#[tokio::test]
async fn a_session_and_the_payment_of_its_first_invoice_meet_at_the_same_moment() {
    let postgres = Postgres::shared().await.expect("a server");
    let database = postgres.migrated_database().await.expect("a database");
    let items = json!([{"kind": "ticket", "ref": "conf", "quantity": 2}]);
    let sold = |name: &str| {
        let own = format!("\"payment_intent\":\"pi_{name}\"");
        sale(name, 100, &items).replace(&own, &format!("\"invoice\":\"in_{name}\",\"mode\":\"subscription\""))
    };
    let paid = |name: &str| {
        let payment = json!({
            "id": format!("inpay_{name}"), "invoice": format!("in_{name}"), "is_default": true, "currency": "eur",
            "payment": {"payment_intent": format!("pi_{name}")}, "status": "paid", "amount_paid": 5000, "created": 100,
        });
        event(&format!("evt_paid_{name}"), "invoice_payment.paid", 101, &payment)
    };
    apply(&database, &refund("a", 200)).await;
    apply(&database, &refund("b", 200)).await;
    let hold = "insert into recoup.invoice_orders (id) values ('in_a'), ('in_b') on conflict do nothing";
    at_the_same_moment(&database, hold, &sold("a"), &paid("a")).await;
    at_the_same_moment(&database, hold, &paid("b"), &sold("b")).await;
    assert_eq!(count(&database, "select count(*) from recoup.orders where payment_id is not null").await, 2);
    assert_eq!(count(&database, "select count(*) from recoup.tickets where revoked_at is not null").await, 4);
}
