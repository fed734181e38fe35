//! Amounts, quantities and currencies that cannot be: kept as failed with the field's name, never applied, and refused
//! by the rows as well.

use serde_json::{Value, json};
use stack::Stack;

use super::history::{apply, charge, deliver, event, fixture, purchase, row, stack};
use crate::http::Http;
use crate::support::records_of;

const NEGATIVE: &str = "below zero, which it cannot be";
const NO_CURRENCY: &str = "… is not a three-letter currency code";

fn payment_intent() -> Value {
    let intent = json!({
        "id": "pi_1", "object": "payment_intent", "amount": 10_000, "amount_received": 10_000, "created": 1,
        "currency": "eur", "status": "succeeded",
    });
    event("evt_paid", "payment_intent.succeeded", 0, intent)
}

fn refund() -> Value {
    let refund = json!({
        "id": "re_1", "object": "refund", "amount": 500, "charge": "ch_1", "created": 1, "currency": "eur",
        "payment_intent": "pi_1", "status": "succeeded",
    });
    event("evt_refunded", "refund.created", 1, refund)
}

fn price() -> Value {
    let price = json!({
        "id": "price_1", "object": "price", "active": true, "product": "prod_1", "currency": "eur",
        "unit_amount": 900,
    });
    event("evt_price", "price.created", 0, price)
}

/// A charge of before 2020, of which a part was released and not captured.
fn old_charge() -> Value {
    let mut old = charge();
    let object = old["data"]["object"].as_object_mut().expect("an object");
    object.remove("amount_captured");
    let released =
        json!({"id": "re_0", "amount": 4_000, "created": 1, "currency": "eur", "status": "succeeded"});
    object.insert("refunds".to_owned(), json!({"data": [released]}));
    old
}

/// The event of a family's history in the shapes of 2026 at this place.
fn shown(family: &str, place: usize) -> Value {
    fixture(family, "2026").remove(place)
}

/// Delivers the event with another value at a place in its object, under an id of its own.
async fn with(stack: &Stack, http: &Http, of: &Value, place: &str, value: &Value) -> (String, String) {
    let mut event = of.clone();
    let id = format!("{}{place} {value}", of["id"].as_str().expect("an id"));
    event["id"] = json!(id);
    *event["data"]["object"].pointer_mut(place).unwrap_or_else(|| panic!("{place} of {of:#}")) =
        value.clone();
    let outcome = deliver(stack, http, &event).await;
    let reason =
        sqlx::query_scalar("select coalesce(last_error, '') from recoup.webhook_events where id = $1");
    (outcome, reason.bind(&id).fetch_one(&stack.pool).await.expect("it is kept"))
}

/// As a fault names a place: `/lines/data/0/quantity` is `lines.data[0].quantity`.
fn named(place: &str) -> String {
    place.split('/').skip(1).fold("data.object".to_owned(), |path, part| match part.parse::<usize>() {
        Ok(index) => format!("{path}[{index}]"),
        Err(_) => format!("{path}.{part}"),
    })
}

#[tokio::test]
async fn an_amount_that_cannot_be_is_kept_as_failed_and_never_applied() {
    let (stack, http) = (stack().await, Http::new());
    let session = purchase().remove(1);
    let negative: [(&Value, &[&str]); 9] = [
        (&session, &["/amount_total", "/amount_subtotal"]),
        (&payment_intent(), &["/amount", "/amount_received"]),
        (&charge(), &["/amount", "/amount_captured", "/amount_refunded"]),
        (&old_charge(), &["/refunds/data/0/amount"]),
        (&refund(), &["/amount"]),
        (&shown("dispute-lost", 1), &["/amount"]),
        (&shown("invoice", 3), &["/amount_paid", "/attempt_count", "/lines/data/0/quantity"]),
        (&shown("invoice", 5), &["/amount_paid"]),
        (&shown("subscription", 1), &["/items/data/0/quantity"]),
    ];
    for (event, places) in negative {
        for place in places {
            let found = with(&stack, &http, event, place, &json!(-1)).await;
            assert_eq!(found, ("failed".to_owned(), format!("{}: {NEGATIVE}", named(place))));
        }
    }
    let dispute = shown("dispute-lost", 1);
    let currencies: [(&Value, &str); 12] = [
        (&session, "/currency"),
        (&payment_intent(), "/currency"),
        (&charge(), "/currency"),
        (&refund(), "/currency"),
        (&dispute, "/currency"),
        (&dispute, "/balance_transactions/0/currency"),
        (&shown("invoice", 3), "/currency"),
        (&shown("invoice", 5), "/currency"),
        (&shown("subscription", 1), "/currency"),
        (&shown("payout", 2), "/currency"),
        (&shown("account", 1), "/default_currency"),
        (&price(), "/currency"),
    ];
    for (event, place) in currencies {
        for text in ["", "eu", "euro", "e1r", "€"] {
            let found = with(&stack, &http, event, place, &json!(text)).await;
            assert_eq!(found, ("failed".to_owned(), format!("{}: {NO_CURRENCY}", named(place))));
        }
    }
    let released = with(&stack, &http, &old_charge(), "/refunds/data/0/amount", &json!(10_001)).await;
    let reason = "data.object.refunds: they release more than the charge's amount";
    assert_eq!(released, ("failed".to_owned(), reason.to_owned()));
    let line = |text: &str| json!(format!(r#"[{{"kind":"credits","ref":"reviews",{text}}}]"#));
    for (text, reason) in [
        (r#""quantity":-1"#, format!("[0].quantity: {NEGATIVE}")),
        (r#""quantity":0"#, ": expected a quantity from 1".to_owned()),
        (r#""amount":-1"#, format!("[0].amount: {NEGATIVE}")),
    ] {
        let found = with(&stack, &http, &session, "/metadata/recoup_items", &line(text)).await;
        let path = "data.object.metadata.recoup_items";
        assert_eq!(found, ("failed".to_owned(), format!("{path}{reason}")));
    }
    for (table, record) in records_of(&stack).await.tables {
        assert_eq!(record.rows, 0, "{table}");
    }
}

#[tokio::test]
async fn an_amount_that_can_be_below_zero_is_applied() {
    let (stack, http) = (stack().await, Http::new());
    let applied = ("applied".to_owned(), String::new());
    let invoice = shown("invoice", 3);
    for (event, place) in [
        (&shown("payout", 2), "/amount"),
        (&invoice, "/amount_due"),
        (&invoice, "/total"),
        (&invoice, "/lines/data/0/amount"),
        (&price(), "/unit_amount"),
    ] {
        assert_eq!(with(&stack, &http, event, place, &json!(-700)).await, applied, "{place}");
    }
    let mut capitals = charge();
    capitals["data"]["object"]["currency"] = json!("EUR");
    apply(&stack, &http, &[capitals]).await;
    assert_eq!(row(&stack, "select currency from recoup.charges").await, "eur");
}

#[tokio::test]
async fn the_rows_refuse_what_cannot_be_whoever_writes_them() {
    let (stack, http) = (stack().await, Http::new());
    let events =
        [purchase(), fixture("invoice", "2026"), fixture("subscription", "2026"), fixture("payout", "2026")];
    apply(&stack, &http, &events.concat()).await;
    let more = [payment_intent(), refund(), price(), shown("dispute-lost", 1), shown("account", 1)];
    apply(&stack, &http, &more).await;
    let bounds = sqlx::query_as::<_, (String, String, String, String)>(
        "select con.conname::text, rel.relname::text, col.attname::text, format_type(col.atttypid, null)
         from pg_constraint as con
         join pg_class as rel on rel.oid = con.conrelid
         join pg_attribute as col on col.attrelid = rel.oid and col.attnum = any (con.conkey)
         where con.contype = 'c' and con.connamespace = 'recoup'::regnamespace and not con.convalidated",
    )
    .fetch_all(&stack.pool)
    .await
    .expect("constraints");
    assert_eq!(bounds.len(), 31, "{bounds:#?}");
    for (constraint, table, column, kind) in bounds {
        let wrong = if kind == "text" { "'euro'" } else { "-1" };
        let update = format!("update recoup.{table} set {column} = {wrong}");
        let refused =
            sqlx::query(sqlx::AssertSqlSafe(update)).execute(&stack.pool).await.expect_err(&constraint);
        let by = refused.as_database_error().and_then(|error| error.constraint());
        assert_eq!(by, Some(constraint.as_str()), "{table}.{column}: {refused}");
    }
}
