//! What an event costs does not grow with what is kept: each statement finds its rows by key, whether it was planned
//! while the tables were empty or when they are full.

use std::collections::{BTreeMap, BTreeSet};

use recoup::db;
use recoup::events::inbox::{Source, session_options};
use recoup::events::receive::{Accounts, LineItems, Outcome, Rules, receive};
use serde_json::Value;
use sqlx::PgConnection;
use stack::postgres::{Database, Postgres};
use stack::shop::Shop;
use stack::stripe::{Stripe, StripeOptions};

use crate::families::history;
use crate::order;

/// Of one table. Far less than it holds at the end, more than any event needs.
const ROWS_READ_MAX: i64 = 25;
/// Copies of each fixture: every table holds some hundreds of rows then.
const COPIES: u32 = 100;
/// And so many sales of the shop beside each.
const CHECKOUTS_A_COPY: u32 = 3;

/// Rows by table.
type Read = BTreeMap<String, i64>;

async fn session(database: &Database) -> PgConnection {
    db::connect(&session_options(db::options(database.url(), "a test").expect("a URL")))
        .await
        .expect("connected")
}

/// Applies an event; gives how many rows of each table Postgres read for it, by sequential scan or through an index.
async fn rows_read(connection: &mut PgConnection, lines: &impl LineItems, event: &Value) -> Read {
    let body = serde_json::to_vec(event).expect("json");
    let rules = Rules { livemode: false, accounts: Accounts::All };
    sqlx::raw_sql("begin").execute(&mut *connection).await.expect("begun");
    let before = rows_read_so_far(connection).await;
    let receipt = receive(connection, lines, &rules, Source::Webhook, &body).await.expect("written");
    assert!(
        matches!(receipt.outcome, Outcome::Applied | Outcome::Ignored(_)),
        "{:?}: {event}",
        receipt.outcome
    );
    let after = rows_read_so_far(connection).await;
    sqlx::raw_sql("commit").execute(&mut *connection).await.expect("committed");
    after.into_iter().map(|(table, read)| (table.clone(), read - before.get(&table).unwrap_or(&0))).collect()
}

/// Of this session, since it last told the server: it does not within a transaction.
async fn rows_read_so_far(connection: &mut PgConnection) -> Read {
    let read = "select relname::text, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)
        from pg_stat_xact_user_tables where schemaname = 'recoup'";
    sqlx::query_as(read).fetch_all(connection).await.expect("counted").into_iter().collect()
}

/// The same history of other objects.
fn renamed(value: &Value, copy: &str) -> Value {
    const PREFIXES: [&str; 14] = [
        "evt_", "sub_", "in_", "dp_", "txn_", "cus_", "si_", "ch_", "pi_", "il_", "po_", "inpay_", "cs_",
        "re_",
    ];
    match value {
        Value::String(text) if PREFIXES.iter().any(|prefix| text.starts_with(prefix)) => {
            Value::String(format!("{text}_{copy}"))
        }
        Value::Array(values) => values.iter().map(|value| renamed(value, copy)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), renamed(value, copy))).collect()
        }
        other => other.clone(),
    }
}

/// Sales of a shop, and copies of all families' histories, interleaved.
async fn events(stripe: &Stripe) -> Vec<Value> {
    let fixture = |family| history::fixture(family, "2026");
    let families: [(&str, Vec<Value>); 5] = [
        ("lost", [history::purchase(), fixture("dispute-lost")].concat()),
        ("won", [history::purchase(), fixture("dispute-won")].concat()),
        ("invoiced", fixture("invoice")),
        ("paid_out", fixture("payout")),
        ("subscribed", fixture("subscription")),
    ];
    let mut shop = Shop::open(stripe, 5).expect("a shop");
    let (mut events, mut sold) = (Vec::new(), 0);
    for copy in 0..COPIES {
        for (name, family) in &families {
            let name = format!("{name}_{copy}");
            events.extend(family.iter().map(|event| renamed(event, &name)));
        }
        // Ties are settled among the events of one second.
        stripe.advance_clock(1);
        shop.sell(CHECKOUTS_A_COPY).expect("sales");
        let all = stripe.events();
        events.extend_from_slice(&all[sold..]);
        sold = all.len();
    }
    events
}

#[tokio::test]
async fn no_event_reads_more_rows_where_tables_are_large() {
    let stripe =
        Stripe::start(StripeOptions { seed: Some(5), ..StripeOptions::default() }).await.expect("a Stripe");
    let lines = order::client(&stripe);
    let database = Postgres::shared().await.expect("a server").migrated_database().await.expect("a database");
    let mut early = session(&database).await;
    let events = events(&stripe).await;
    let (most, last) = events.split_at(events.len() * 9 / 10);
    for event in most {
        rows_read(&mut early, &lines, event).await;
    }
    sqlx::raw_sql("analyze").execute(&mut session(&database).await).await.expect("analyzed");
    let mut late = session(&database).await;
    let mut worst: BTreeMap<(String, String), i64> = BTreeMap::new();
    for (at, event) in last.iter().enumerate() {
        let connection = if at % 2 == 0 { &mut early } else { &mut late };
        for (table, read) in rows_read(connection, &lines, event).await {
            let kind = event["type"].as_str().expect("a type").to_owned();
            let seen = worst.entry((kind, table)).or_default();
            *seen = read.max(*seen);
        }
    }
    let dear: Vec<_> = worst.iter().filter(|(_, read)| **read > ROWS_READ_MAX).collect();
    assert!(dear.is_empty(), "these read tables instead of keys: {dear:?}");
    let kinds: BTreeSet<_> = worst.keys().map(|(kind, _)| kind).collect();
    assert!(kinds.len() >= 30, "some families were not tried: {kinds:?}");
}
