//! What has to hold of the rows: a shop's sales hold all of it, and each rule finds the one row that breaks it.

mod breaks;

use recoup::invariants::{INVARIANTS, violations};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use stack::Stack;
use stack::shop::Shop;
use time::OffsetDateTime;

use self::breaks::BREAKS;
use crate::families::history::{START, apply, event, fixture, purchase};
use crate::http::Http;
use crate::support::{count, eager, failed, sell, shuffled, succeeded};

/// Judges all that is there, however young.
fn now() -> Value {
    json!({"action": "database", "settle_minutes": 0})
}

/// A shop that sold, delivered as badly as the network delivers, and beside it order `cs_1`, with coaching in line 2 and
/// a dispute that was won.
async fn shop() -> Stack {
    let stack = eager().functions(["webhook", "verify"]).start().await.expect("a stack");
    sales_of_a_shop(&stack).await;
    stack
}

/// The sales of such a shop.
pub async fn sales_of_a_shop(stack: &Stack) {
    stack.stripe.faults(shuffled());
    let mut shop = Shop::open(&stack.stripe, 23).expect("a shop");
    sell(stack, &mut shop, 120).await;
    let paid = json!({"id": "pi_1", "object": "payment_intent", "status": "succeeded", "amount": 10_000,
        "amount_received": 10_000, "currency": "eur", "customer": "cus_1", "created": START - 2});
    let http = Http::new();
    apply(stack, &http, &purchase()).await;
    apply(stack, &http, &[event("evt_paid", "payment_intent.succeeded", 0, paid)]).await;
    apply(stack, &http, &fixture("dispute-won", "2026")).await;
}

#[tokio::test]
async fn each_rule_names_the_one_row_that_breaks_it() {
    each_rule_names_its_row(&shop().await).await;
}

/// Breaks every rule, one row at a time, in a shop that sold.
pub async fn each_rule_names_its_row(stack: &Stack) {
    let mut connection = PgConnection::connect(&stack.database_url).await.unwrap();
    let instant = OffsetDateTime::now_utc() + time::Duration::seconds(1);
    assert_eq!(violations(&mut connection, instant).await.unwrap(), []);

    for change in BREAKS {
        let mut undone = connection.begin().await.unwrap();
        let row: Option<String> = sqlx::query_scalar(change.row).fetch_optional(&mut *undone).await.unwrap();
        let row =
            row.unwrap_or_else(|| panic!("{}: the shop has no such row: {}", change.invariant, change.row));
        let sql = change.sql.replace("$row", &row);
        sqlx::raw_sql(AssertSqlSafe(sql.clone()))
            .execute(&mut *undone)
            .await
            .unwrap_or_else(|e| panic!("{sql}: {e}"));
        let found = violations(&mut undone, instant).await.unwrap();
        undone.rollback().await.unwrap();
        let named: Vec<String> = found
            .iter()
            .flat_map(|violation| {
                let of = violation.invariant;
                violation.rows.iter().map(move |row| format!("{of}: {} {}", row.object, row.id))
            })
            .collect();
        let id = change.id.replace("$row", &row);
        assert_eq!(named, [format!("{}: {} {id}", change.invariant, change.object)], "{sql}");
    }
    for invariant in INVARIANTS {
        let tried = BREAKS.iter().any(|change| change.invariant == invariant.name);
        assert!(tried, "{} is never broken here", invariant.name);
    }
    assert_eq!(violations(&mut connection, instant).await.unwrap(), []);
}

#[tokio::test]
async fn a_total_has_shipping_beside_its_lines_and_lines_are_after_discounts() {
    let database = stack::postgres::Postgres::shared().await.unwrap().migrated_database().await.unwrap();
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    sqlx::raw_sql(
        r#"insert into recoup.customers (id, event_id, event_created, event_rank) values ('cus_1', 'evt_1', now(), 0);
        insert into recoup.webhook_events (id, type, livemode, created, payload, source, status)
            values ('evt_1', 'checkout.session.completed', false, now(),
                '{"data":{"object":{"total_details":{"amount_shipping":500,"amount_discount":200}}}}', 'webhook', 'processed');
        insert into recoup.orders (id, customer_id, status, mode, currency, amount_subtotal, amount_total, created_at,
                event_id, event_created, event_rank)
            values ('cs_1', 'cus_1', 'pending', 'payment', 'eur', 1200, 1500, now(), 'evt_1', now(), 1);
        insert into recoup.order_items (order_id, position, line_item_id, quantity, amount_total, currency)
            values ('cs_1', 1, 'li_1', 1, 1000, 'eur')"#,
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let instant = OffsetDateTime::now_utc() + time::Duration::seconds(1);
    assert_eq!(violations(&mut connection, instant).await.unwrap(), []);

    let wrong = [
        ("update recoup.webhook_events set payload = replace(payload, '500', '400')", 1),
        // As many as the lines before the discount: right for lines that the seller wrote, and only for those.
        ("update recoup.order_items set amount_total = 1200", 1),
        ("update recoup.order_items set line_item_id = null", 0),
    ];
    for (change, found) in wrong {
        sqlx::raw_sql(change).execute(&mut connection).await.unwrap();
        let broken = violations(&mut connection, instant).await.unwrap();
        assert_eq!(broken.len(), found, "{change}: {broken:?}");
        assert!(broken.iter().all(|violation| violation.invariant == "order_totals"), "{change}: {broken:?}");
    }
}

#[tokio::test]
async fn what_is_broken_is_an_error_with_the_rows_and_the_remedy() {
    let stack = shop().await;
    let reply = succeeded(stack.invoke("verify", now()).await.unwrap());
    assert_eq!((reply["status"].as_str(), &reply["warnings"]), (Some("holds"), &json!([])));
    assert_eq!(reply["invariants"].as_array().unwrap().len(), INVARIANTS.len());

    sqlx::query("update recoup.order_items set amount_total = amount_total + 1 where order_id <> 'cs_1'")
        .execute(&stack.pool)
        .await
        .unwrap();
    let reply = stack.invoke("verify", now()).await.unwrap();
    assert_eq!(failed(&reply), "InvariantBroken");
    let message = reply.payload["errorMessage"].as_str().unwrap();
    let (sentence, findings) = message.split_once(" Findings: ").expect("findings");
    assert!(sentence.contains("order_totals"), "{sentence}");
    let findings: Value = serde_json::from_str(findings).expect("JSON");
    let violation = &findings["violations"][0];
    let wrong = "select count(distinct id) from recoup.orders join recoup.order_items on order_id = id
        where status in ('pending', 'paid') and id <> 'cs_1'";
    let wrong = count(&stack, wrong).await;
    assert_eq!(violation["count"], wrong);
    assert_eq!(violation["rows"].as_array().unwrap().len(), 20);
    assert!(violation["remedy"].as_str().unwrap().contains("reconcile"), "{violation}");
    // Nothing of what was bought, or by whom.
    assert!(!message.contains('@') && !message.contains("Lovelace"), "{message}");
    let counted = format!(r#""InvariantViolations":{wrong}.0"#);
    let lines = stack.lambda.logs("verify").unwrap();
    assert!(lines.iter().any(|line| line.text.contains(&counted)), "no line has {counted}");

    // What is younger than the time that events may take is not judged.
    succeeded(stack.invoke("verify", json!({"action": "database"})).await.unwrap());
    let recorded: Vec<String> =
        sqlx::query_scalar("select action || ' ' || status from recoup.verifications order by id")
            .fetch_all(&stack.pool)
            .await
            .unwrap();
    assert_eq!(recorded, ["database passed", "database failed", "database passed"]);
}

#[tokio::test]
async fn a_database_without_this_versions_tables_is_said_to_lack_them() {
    let stack = Stack::builder()
        .functions(["verify"])
        .database(stack::DatabaseChoice::Empty)
        .start()
        .await
        .expect("a stack");
    let reply = stack.invoke("verify", now()).await.unwrap();
    assert_eq!(failed(&reply), "SchemaDrift");
    let message = reply.payload["errorMessage"].as_str().unwrap();
    assert!(message.contains("apply the migrations"), "{message}");
}
