//! Rows as a comparison sees them, and runs of `objects`.

use std::collections::BTreeMap;

use recoup::events::inbox::{Source, session_options};
use recoup::events::receive::{Accounts, Outcome, Rules, receive};
use serde_json::{Map, Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, PgPool};
use stack::records::STRIPE_DERIVED;
use stack::stripe::Stripe;
use stack::{Stack, StackBuilder};

use crate::order::client;
use crate::support::{eager, succeeded};

/// Which event wrote a row, and when.
pub const BOOKKEEPING: [&str; 4] = ["event_id", "event_created", "event_rank", "needs_refetch"];

/// What only an event says, and what follows from it: when a dispute was lost, a customer deleted.
pub const TOLD_BY_EVENTS: [&str; 4] = ["lost_at", "returned_at", "revoked_at", "deleted_at"];

/// By table and by the row's first column and its text: rows as JSON.
pub type Rows = BTreeMap<&'static str, Vec<Value>>;

/// Webhook and reconcile, without a limit of their own.
pub fn builder() -> StackBuilder {
    eager()
        .functions(["webhook", "reconcile"])
        .env("webhook", "STRIPE_ACCOUNTS", "all")
        .env("reconcile", "STRIPE_ACCOUNTS", "all")
        .env("reconcile", "STRIPE_RATE_SHARE_PERCENT", "none")
}

/// All rows that follow from Stripe, without some columns.
pub async fn rows(pool: &PgPool, without: &[&str]) -> Rows {
    let mut tables = Rows::new();
    let without: Vec<String> = without.iter().map(|column| (*column).to_owned()).collect();
    for table in STRIPE_DERIVED {
        let query =
            format!("select to_jsonb(kept) - $1::text[] from recoup.{table} as kept order by kept::text");
        let rows: Vec<Value> =
            sqlx::query_scalar(AssertSqlSafe(query)).bind(&without).fetch_all(pool).await.expect("rows");
        let mut rows = rows;
        rows.sort_by_key(Value::to_string);
        tables.insert(table, rows);
    }
    tables
}

/// What differs, in words.
pub fn differences(expected: &Rows, found: &Rows) -> Vec<String> {
    let mut words = Vec::new();
    for (table, rows) in expected {
        let missing = rows.iter().filter(|row| !found[table].contains(row));
        words.extend(missing.map(|row| format!("{table} lacks   {row}")));
        let more = found[table].iter().filter(|row| !rows.contains(row));
        words.extend(more.map(|row| format!("{table} has too {row}")));
    }
    words
}

/// A database of its own in which every event arrived, in its order.
pub async fn undisturbed(stack: &Stack) -> stack::postgres::Database {
    let database = stack.postgres.migrated_database().await.expect("a database");
    let options: PgConnectOptions = database.url().parse().expect("a URL");
    let options = session_options(options.disable_statement_logging());
    let mut connection = PgConnection::connect_with(&options).await.expect("a connection");
    let rules = Rules { livemode: false, accounts: Accounts::All };
    let client = client(&stack.stripe);
    for event in all_events(&stack.stripe) {
        let body = serde_json::to_vec(&event).expect("json");
        let receipt = receive(&mut connection, &client, &rules, Source::Webhook, &body).await.expect("kept");
        assert!(
            matches!(receipt.outcome, Outcome::Applied | Outcome::Ignored(_)),
            "{:?} {event}",
            receipt.outcome
        );
    }
    database
}

/// The events of the platform and of its accounts, in their order.
pub fn all_events(stripe: &Stripe) -> Vec<Value> {
    let accounts = stripe.request("GET", "/v1/accounts", "limit=100").expect("accounts");
    let accounts = accounts["data"].as_array().expect("data").clone();
    let mut events = stripe.events();
    for account in accounts {
        events.extend(stripe.account(account["id"].as_str().expect("an id")).events());
    }
    events.sort_by_key(|event| event["created"].as_i64());
    events
}

/// Runs `objects` over all time.
pub async fn objects(stack: &Stack, dry_run: bool) -> Value {
    objects_with(stack, dry_run, json!({})).await
}

/// The same with more in the request.
pub async fn objects_with(stack: &Stack, dry_run: bool, more: Value) -> Value {
    let mut request = json!({"action": "objects", "from": "2020-01-01T00:00:00Z", "dry_run": dry_run});
    request.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_else(Map::new));
    let reply = succeeded(stack.invoke("reconcile", request).await.expect("invoked"));
    assert_eq!(reply["status"], "completed", "{reply}");
    reply
}

/// Expects that nothing differs.
pub fn assert_agrees(reply: &Value) {
    let counts = ["missing_here", "different", "missing_there", "unreadable", "unrepaired"];
    for count in counts {
        assert_eq!(reply[count], 0, "{count}: {reply:#}");
    }
    assert_eq!((&reply["drift"], &reply["findings"]), (&json!(false), &json!([])), "{reply:#}");
}

/// Empties tables as somebody would who lost them: whatever hangs on them goes too.
pub async fn wipe(stack: &Stack, tables: &[&str]) {
    let tables: Vec<String> = tables.iter().map(|table| format!("recoup.{table}")).collect();
    let statement = format!("truncate {} cascade", tables.join(", "));
    sqlx::query(AssertSqlSafe(statement)).execute(&stack.pool).await.expect("emptied");
}
