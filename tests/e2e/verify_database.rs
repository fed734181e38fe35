//! What has to hold of the rows: a shop's sales hold all of it, and each rule finds the one row that breaks it.

use recoup::invariants::{INVARIANTS, violations};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use stack::Stack;
use stack::shop::Shop;
use time::OffsetDateTime;

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
    stack.stripe.faults(shuffled());
    let mut shop = Shop::open(&stack.stripe, 23).expect("a shop");
    sell(&stack, &mut shop, 120).await;
    let paid = json!({"id": "pi_1", "object": "payment_intent", "status": "succeeded", "amount": 10_000,
        "amount_received": 10_000, "currency": "eur", "customer": "cus_1", "created": START - 2});
    let http = Http::new();
    apply(&stack, &http, &purchase()).await;
    apply(&stack, &http, &[event("evt_paid", "payment_intent.succeeded", 0, paid)]).await;
    apply(&stack, &http, &fixture("dispute-won", "2026")).await;
    stack
}

/// What is done by hand, to which row, and what finds it as what.
struct Break {
    invariant: &'static str,
    /// The key of the row to break, by itself or as the first column.
    row: &'static str,
    /// `$row` stands for that key.
    sql: &'static str,
    object: &'static str,
    /// `$row` again.
    id: &'static str,
}

const fn broken(
    invariant: &'static str,
    row: &'static str,
    sql: &'static str,
    object: &'static str,
    id: &'static str,
) -> Break {
    Break { invariant, row, sql, object, id }
}

/// An order that was paid and not given back, with a line of a kind.
const PAID_COURSE: &str =
    "select i.order_id from recoup.order_items i join recoup.orders o on o.id = i.order_id
    join recoup.payments p on p.id = o.payment_id where o.status = 'paid' and p.amount_returned = 0
    and i.grants_kind = 'course' and i.position = 1 order by 1 limit 1";
const PAID_TICKET: &str = "select i.order_id from recoup.order_items i join recoup.orders o on o.id = i.order_id
    join recoup.payments p on p.id = o.payment_id where o.status = 'paid' and p.amount_returned = 0
    and i.grants_kind = 'ticket' and i.position = 1 and i.quantity * i.grants_quantity > 1 order by 1 limit 1";
const PAID_CREDITS: &str =
    "select i.order_id from recoup.order_items i join recoup.orders o on o.id = i.order_id
    join recoup.payments p on p.id = o.payment_id where o.status = 'paid' and p.amount_returned = 0
    and i.grants_kind = 'credits' and i.position = 1 order by 1 limit 1";
const PAID: &str = "select o.id from recoup.orders o join recoup.payments p on p.id = o.payment_id
    where o.status = 'paid' and o.id <> 'cs_1' and p.amount_returned = 0 order by 1 limit 1";
const PAYMENT: &str = "select p.id from recoup.orders o join recoup.payments p on p.id = o.payment_id
    where o.status = 'paid' and o.id <> 'cs_1' and p.amount_returned = 0 order by 1 limit 1";
const CHARGE: &str = "select c.id from recoup.charges c join recoup.payments p on p.id = c.payment_id
    where c.status = 'succeeded' and p.amount_returned = 0 and p.order_id <> 'cs_1' order by 1 limit 1";
const REFUND: &str = "select id from recoup.refunds where status = 'failed' order by 1 limit 1";
const NOTHING: &str = "select ''";

const BREAKS: &[Break] = &[
    broken(
        "orphans",
        NOTHING,
        "alter table recoup.order_items drop constraint order_items_order;
         insert into recoup.order_items (order_id, position, quantity, grants_kind) values ('cs_gone', 1, 1, 'x')",
        "order_items",
        "cs_gone line 1",
    ),
    broken(
        "orphans",
        NOTHING,
        "alter table recoup.tickets drop constraint tickets_item;
         insert into recoup.tickets (order_id, position, seat, customer_id, admits_to, granted_at)
         select 'cs_gone', 1, 1, id, 'x', now() from recoup.customers limit 1",
        "tickets",
        "cs_gone line 1 seat 1",
    ),
    broken(
        "orphans",
        NOTHING,
        "insert into recoup.payments (id, order_id) values ('pi_gone', 'cs_gone')",
        "payments",
        "pi_gone",
    ),
    broken(
        "orphans",
        NOTHING,
        "insert into recoup.ledger_entries values ('ch_gone', 'charge', null, 'stripe_balance', 'sales', 1, 'eur', now())",
        "ledger_entries",
        "ch_gone charge",
    ),
    broken(
        "order_totals",
        PAID_COURSE,
        "update recoup.order_items set amount_total = amount_total + 1 where order_id = '$row' and position = 1",
        "orders",
        "$row",
    ),
    broken(
        "orders_paid",
        PAID,
        "update recoup.payments set status = 'requires_payment_method' where order_id = '$row'",
        "orders",
        "$row",
    ),
    broken(
        "payments_charged",
        PAYMENT,
        "delete from recoup.ledger_entries where source_id in (select id from recoup.charges where payment_id = '$row');
         delete from recoup.charges where payment_id = '$row'",
        "payments",
        "$row",
    ),
    broken(
        "grants_missing",
        PAID_COURSE,
        "update recoup.order_items set grants_ref = 'never-granted' where order_id = '$row' and position = 1",
        "order_items",
        "$row line 1",
    ),
    broken(
        "grants_missing",
        PAID_TICKET,
        "update recoup.tickets set revoked_at = now() where order_id = '$row' and position = 1 and seat = 1",
        "order_items",
        "$row line 1",
    ),
    broken(
        "grants_missing",
        PAID_CREDITS,
        "delete from recoup.credit_entries where order_id = '$row' and position = 1",
        "order_items",
        "$row line 1",
    ),
    broken(
        "grants_missing",
        NOTHING,
        "delete from recoup.coaching_sessions where order_id = 'cs_1'",
        "order_items",
        "cs_1 line 2",
    ),
    broken(
        "grants_missing",
        PAID_COURSE,
        "update recoup.order_items set grants_kind = 'plan', grants_ref = 'pro' where order_id = '$row' and position = 1",
        "order_items",
        "$row line 1",
    ),
    broken(
        "grants_kept",
        "select id from recoup.credit_entries where order_id is not null and revoked_at is not null order by 1 limit 1",
        "update recoup.credit_entries set revoked_at = null where id = '$row'",
        "credit_entries",
        "$row",
    ),
    broken(
        "grants_quantity",
        PAID_TICKET,
        "delete from recoup.tickets where order_id = '$row' and position = 1 and seat = 2",
        "order_items",
        "$row line 1",
    ),
    broken(
        "grants_quantity",
        NOTHING,
        "insert into recoup.coaching_sessions select order_id, position, 4, customer_id, coaching, granted_at
         from recoup.coaching_sessions where order_id = 'cs_1'",
        "order_items",
        "cs_1 line 2",
    ),
    broken(
        "grants_quantity",
        PAID_CREDITS,
        "update recoup.credit_entries set amount = amount + 1 where order_id = '$row' and position = 1",
        "order_items",
        "$row line 1",
    ),
    broken(
        "ledger_balanced",
        NOTHING,
        "alter table recoup.ledger_entries drop constraint ledger_entries_moves;
         insert into recoup.ledger_entries values ('txn_1', 'dispute_fee', null, 'fees', 'fees', 1, 'eur', now())",
        "ledger_entries",
        "txn_1 dispute_fee",
    ),
    broken(
        "ledger_posted",
        CHARGE,
        "update recoup.ledger_entries set amount = amount - 1 where source_id = '$row'",
        "charges",
        "$row",
    ),
    broken(
        "ledger_posted",
        REFUND,
        "delete from recoup.ledger_entries where source_id = '$row' and kind = 'refund_failure'",
        "refunds",
        "$row",
    ),
    broken(
        "refunds_within_payments",
        PAYMENT,
        "insert into recoup.refunds select 're_too_much', account, null, id, 'succeeded', amount_received + 1, currency,
            null, null, now(), event_id, event_created, 0 from recoup.payments where id = '$row';
         insert into recoup.ledger_entries select id, 'refund', null, 'refunds', 'stripe_balance', amount, currency, now()
            from recoup.refunds where id = 're_too_much'",
        "payments",
        "$row",
    ),
    broken(
        "disputes_charged",
        "select id from recoup.disputes order by 1 limit 1",
        "update recoup.disputes set charge_id = 'ch_gone' where id = '$row'",
        "disputes",
        "$row",
    ),
    broken(
        "duplicates",
        PAYMENT,
        "insert into recoup.orders select 'cs_twice', account, customer_id, payment_id, 'pending', mode, currency,
            amount_subtotal, amount_total, client_reference_id, created_at, null, event_id, event_created, event_rank
         from recoup.orders where payment_id = '$row'",
        "payments",
        "$row",
    ),
    broken(
        "duplicates",
        "select customer_id || ' ' || course from recoup.enrollments where revoked_at is null order by 1 limit 1",
        "alter table recoup.enrollments drop constraint enrollments_customer_course_key;
         insert into recoup.enrollments select * from recoup.enrollments where customer_id || ' ' || course = '$row'",
        "enrollments",
        "$row",
    ),
    broken(
        "credit_shortfalls",
        "select customer_id from recoup.credit_entries order by 1 limit 1",
        "insert into recoup.credit_entries values ('spent', '$row', -1000000, 'spent', null, null, now(), null)",
        "customers",
        "$row",
    ),
    broken(
        "catalog_gaps",
        PAID_COURSE,
        "update recoup.order_items set grants_kind = null where order_id = '$row' and position = 1",
        "order_items",
        "$row line 1",
    ),
    broken(
        "catalog_gaps",
        NOTHING,
        "insert into recoup.orders select 'cs_empty', account, customer_id, null, 'paid', 'payment', currency, 0, 0, null,
            created_at, created_at, event_id, event_created, event_rank from recoup.orders where status = 'paid' limit 1",
        "orders",
        "cs_empty",
    ),
    broken(
        "events_settled",
        "select id from recoup.webhook_events order by 1 limit 1",
        "update recoup.webhook_events set status = 'dead' where id = '$row'",
        "webhook_events",
        "$row",
    ),
];

#[tokio::test]
async fn each_rule_names_the_one_row_that_breaks_it() {
    let stack = shop().await;
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

    sqlx::query(
        "update recoup.order_items set amount_total = amount_total + 1 where amount_total is not null",
    )
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
        where status in ('pending', 'paid')";
    let wrong = count(&stack, wrong).await;
    assert_eq!(violation["count"], wrong);
    assert_eq!(violation["rows"].as_array().unwrap().len(), 20);
    assert!(violation["remedy"].as_str().unwrap().contains("reconcile"), "{violation}");
    // Nothing of what was bought, or by whom.
    assert!(!message.contains('@') && !message.contains("Lovelace"), "{message}");
    assert!(reply.log_tail.contains("InvariantViolations"), "{}", reply.log_tail);

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
