//! The order of arrival does not matter: for random histories made through Stripe's API, whatever subset of the
//! events arrives, in whatever order and however often, the rows are those that the same events make in the
//! order in which they happened. The clock moves little in these histories, and often not at all, so that many
//! events share a second.
//!
//! The events go through the same code as in the functions, in process. A history that fails is shrunk: events
//! are left out as long as it still fails, and what is left is shown.

mod history;

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use recoup::events::inbox::{Source, session_options};
use recoup::events::receive::{Accounts, Outcome, Rules, receive};
use recoup::stripe::Client;
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use stack::postgres::{Database, Postgres};
use stack::stripe::{Stripe, StripeOptions};

use history::{Family, History};

/// Orders of arrival that each history is tried in.
const ARRIVALS: usize = 3;

/// A database and what asks Stripe for lines.
pub struct Receiver {
    _database: Database,
    connection: PgConnection,
    client: Client,
    rules: Rules,
}

impl Receiver {
    /// On an empty database of its own.
    pub async fn new(stripe: &Stripe) -> Self {
        let postgres = Postgres::shared().await.expect("a server");
        let database = postgres.migrated_database().await.expect("a database");
        let options: PgConnectOptions = database.url().parse().expect("a URL");
        let options = session_options(options.disable_statement_logging());
        let connection = PgConnection::connect_with(&options).await.expect("a connection");
        let rules = Rules { livemode: false, accounts: Accounts::None };
        Self { _database: database, connection, client: client(stripe), rules }
    }

    fn ask(&mut self, stripe: &Stripe) {
        self.client = client(stripe);
    }

    /// Receives one event.
    pub async fn take(&mut self, event: &Value) -> Outcome {
        let body = serde_json::to_vec(event).expect("json");
        receive(&mut self.connection, &self.client, &self.rules, Source::Webhook, &body)
            .await
            .expect("it is committed")
            .outcome
    }

    /// Forgets everything.
    pub async fn clear(&mut self) {
        let delete: String = TABLES.iter().map(|table| format!("delete from recoup.{table};")).collect();
        sqlx::raw_sql(sqlx::AssertSqlSafe(delete)).execute(&mut self.connection).await.expect("cleared");
    }

    /// All rows that follow from events, by table.
    pub async fn rows(&mut self) -> Value {
        let tables: Vec<String> = TABLES
            .iter()
            .filter(|table| !matches!(**table, "webhook_events" | "audit_log"))
            .map(|table| {
                format!(
                    "'{table}', (select coalesce(jsonb_agg(to_jsonb(kept) order by to_jsonb(kept)::text), '[]')
                     from recoup.{table} as kept)"
                )
            })
            .collect();
        let query = format!("select jsonb_build_object({})", tables.join(", "));
        sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(&mut self.connection).await.expect("rows")
    }

    /// The rows after these events, on a database that had none.
    async fn rows_after(&mut self, events: &[Value], arrival: &[usize]) -> Value {
        self.clear().await;
        for at in arrival {
            let outcome = self.take(&events[*at]).await;
            assert!(!matches!(outcome, Outcome::Failed(_) | Outcome::Dead(_)), "{outcome:?} {}", events[*at]);
        }
        self.rows().await
    }
}

/// Tables, those that refer to others first.
const TABLES: [&str; 14] = [
    "enrollments",
    "tickets",
    "coaching_sessions",
    "credit_entries",
    "order_items",
    "orders",
    "refunds",
    "charges",
    "payments",
    "customers",
    "catalog_items",
    "ledger_entries",
    "webhook_events",
    "audit_log",
];

/// What asks Stripe for lines.
pub fn client(stripe: &Stripe) -> Client {
    let key: secrecy::SecretString = stripe.api_key().into();
    Client::impatient(stripe.api_base(), key.into(), Duration::from_secs(3))
}

/// Some of the events, shuffled, some of them twice; half of the time those that were dropped come at the end.
fn arrival(events: usize, random: &mut StdRng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..events).collect();
    order.shuffle(random);
    let dropped = random.random_range(0..=events / 2);
    let late = order.split_off(events - dropped);
    let twice: Vec<usize> = order.iter().copied().filter(|_| random.random_bool(0.2)).collect();
    for again in twice {
        order.insert(random.random_range(0..=order.len()), again);
    }
    if random.random_bool(0.5) {
        order.extend(late);
    }
    order
}

/// The events that arrive, in the order in which they happened.
fn in_order(arrival: &[usize]) -> Vec<usize> {
    let mut order = arrival.to_vec();
    order.sort_unstable();
    order.dedup();
    order
}

async fn differs(receiver: &mut Receiver, events: &[Value], arrival: &[usize]) -> Option<String> {
    let expected = receiver.rows_after(events, &in_order(arrival)).await;
    let found = receiver.rows_after(events, arrival).await;
    let of = |rows: &Value, table: &str| serde_json::to_string_pretty(&rows[table]).expect("json");
    let table = TABLES.iter().find(|table| expected[**table] != found[**table])?;
    Some(format!("{table} in order: {}\nas it arrived: {}", of(&expected, table), of(&found, table)))
}

/// Leaves out events as long as the rows still differ.
async fn shrink(receiver: &mut Receiver, events: &[Value], mut arrival: Vec<usize>) -> Vec<usize> {
    let mut at = 0;
    while at < arrival.len() {
        let mut fewer = arrival.clone();
        fewer.remove(at);
        if differs(receiver, events, &fewer).await.is_some() {
            arrival = fewer;
            at = 0;
        } else {
            at += 1;
        }
    }
    arrival
}

async fn holds_for(family: Family, histories: u64) {
    let mut receiver: Option<Receiver> = None;
    let (mut events_seen, mut tied) = (0, 0_i64);
    for seed in 0..histories {
        let options = StripeOptions { seed: Some(seed), ..StripeOptions::default() };
        let stripe = Stripe::start(options).await.expect("a Stripe");
        let events = History::new(&stripe, family, seed).run();
        let receiver = match &mut receiver {
            Some(receiver) => {
                receiver.ask(&stripe);
                receiver
            }
            none => none.insert(Receiver::new(&stripe).await),
        };
        events_seen += events.len();
        let mut random = StdRng::seed_from_u64(seed);
        for _ in 0..ARRIVALS {
            let arrival = arrival(events.len(), &mut random);
            if differs(receiver, &events, &arrival).await.is_some() {
                let smallest = shrink(receiver, &events, arrival).await;
                let why = differs(receiver, &events, &smallest).await.expect("it was kept failing");
                let shown: Vec<String> = smallest.iter().map(|at| format!("{at}: {}", events[*at])).collect();
                panic!("{family:?} history {seed}: arrival {smallest:?}\n{}\n{why}", shown.join("\n"));
            }
            tied += receiver.marked().await;
        }
    }
    eprintln!("{family:?}: {histories} histories, {events_seen} events, {tied} rows left marked");
}

impl Receiver {
    async fn marked(&mut self) -> i64 {
        sqlx::query_scalar(
            "select (select count(*) from recoup.customers where needs_refetch)
                + (select count(*) from recoup.catalog_items where needs_refetch)
                + (select count(*) from recoup.payments where needs_refetch)
                + (select count(*) from recoup.charges where needs_refetch)
                + (select count(*) from recoup.refunds where needs_refetch)",
        )
        .fetch_one(&mut self.connection)
        .await
        .expect("a count")
    }
}

#[tokio::test]
async fn customers_follow_stripes_order() {
    holds_for(Family::Customers, 40).await;
}

#[tokio::test]
async fn the_catalogue_follows_stripes_order() {
    holds_for(Family::Catalogue, 40).await;
}

#[tokio::test]
async fn payments_and_charges_follow_stripes_order() {
    holds_for(Family::Payments, 40).await;
}

#[tokio::test]
async fn refunds_follow_stripes_order() {
    holds_for(Family::Refunds, 40).await;
}

#[tokio::test]
async fn sales_follow_stripes_order() {
    holds_for(Family::Sales, 40).await;
}

#[tokio::test]
async fn a_statement_that_is_cut_off_leaves_nothing_and_comes_again() {
    let stripe = Stripe::start(StripeOptions::default()).await.expect("a Stripe");
    let mut shop = stack::shop::Shop::open(&stripe, 9).expect("a shop");
    shop.sell(6).expect("sales");
    let events = stripe.events();
    let mut calm = Receiver::new(&stripe).await;
    let order: Vec<usize> = (0..events.len()).collect();
    let expected = calm.rows_after(&events, &order).await;

    let stormy = Receiver::new(&stripe).await;
    let options: PgConnectOptions = stormy._database.url().parse().expect("a URL");
    let options = session_options(options.disable_statement_logging());
    let mut other = PgConnection::connect_with(&options).await.expect("a connection");
    let mut stormy = stormy;
    let mut cuts = 0;
    for event in &events {
        // Somebody holds a table that nearly every statement writes, so that this one waits in its middle.
        sqlx::raw_sql(
            "begin; lock table recoup.payments, recoup.customers, recoup.catalog_items in share mode",
        )
        .execute(&mut other)
        .await
        .expect("locked");
        let body = serde_json::to_vec(event).expect("json");
        let work = receive(&mut stormy.connection, &stormy.client, &stormy.rules, Source::Webhook, &body);
        let end = async {
            loop {
                let ended: i64 = sqlx::query_scalar(
                    "select count(pg_terminate_backend(pid)) from pg_stat_activity
                     where datname = current_database() and wait_event_type = 'Lock' and pid <> pg_backend_pid()",
                )
                .fetch_one(&mut other)
                .await
                .expect("asked");
                if ended > 0 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let cut_off = tokio::select! {
            biased;
            received = work => received.is_err(),
            () = end => true,
        };
        sqlx::raw_sql("rollback").execute(&mut other).await.expect("unlocked");
        if cut_off {
            cuts += 1;
            let id = event["id"].as_str().expect("an id");
            let kept: i64 = sqlx::query_scalar("select count(*) from recoup.webhook_events where id = $1")
                .bind(id)
                .fetch_one(&mut other)
                .await
                .expect("a count");
            assert_eq!(kept, 0, "{id} left something");
            stormy.connection = PgConnection::connect_with(&options).await.expect("a connection");
            // Stripe comes again.
            assert_eq!(stormy.take(event).await, Outcome::Applied);
        }
        assert_eq!(stormy.take(event).await, Outcome::Duplicate);
    }
    assert!(cuts > events.len() / 2, "{cuts} statements were cut off");
    let found = stormy.rows().await;
    for table in TABLES {
        assert_eq!(expected[table], found[table], "{table}");
    }
}
