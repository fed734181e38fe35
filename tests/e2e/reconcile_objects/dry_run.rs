//! A dry run says exactly what the real one does.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stack::Stack;
use stack::stripe::Faults;

use super::life::Life;
use super::shown::{BOOKKEEPING, Rows, assert_agrees, builder, differences, objects, rows};
use crate::support::{count, settle};

/// What somebody did to the rows by hand, and what a bad restore left out.
const DAMAGE: [&str; 18] = [
    "update recoup.customers set email = 'eve@example.com' where id = (select min(id) from recoup.customers where id like 'cus_%')",
    "update recoup.catalog_items set grants_quantity = 7 where id = (select min(id) from recoup.catalog_items where grants_kind = 'course')",
    "update recoup.payments set amount = 1, currency = 'chf' where id = (select min(id) from recoup.payments)",
    "update recoup.charges set amount_captured = 9007199254740993, created_at = now() where id = (select min(id) from recoup.charges where status = 'succeeded')",
    "update recoup.refunds set status = 'pending' where id = (select min(id) from recoup.refunds where status = 'succeeded')",
    "update recoup.subscriptions set status = 'unpaid' where id = (select min(id) from recoup.subscriptions)",
    "update recoup.invoices set total = -1 where id = (select min(id) from recoup.invoices)",
    "update recoup.order_items set grants_kind = null, grants_ref = null, grants_quantity = null where order_id = (select min(id) from recoup.orders where status = 'paid')",
    "delete from recoup.catalog_items where id in (select unnest(array[price_id, product_id]) from recoup.order_items where order_id = (select min(id) from recoup.orders where status = 'paid'))",
    "with sale as (select min(id) as id from recoup.orders where status = 'paid'), t as (delete from recoup.tickets where order_id = (select id from sale)), e as (delete from recoup.enrollments where order_id = (select id from sale)), c as (delete from recoup.credit_entries where order_id = (select id from sale)) select 1",
    "update recoup.orders set status = 'pending', paid_at = null where id = (select min(id) from recoup.orders where status = 'paid')",
    "update recoup.invoice_lines set amount = amount + 1 where invoice_id = (select max(invoice_id) from recoup.invoice_lines)",
    "update recoup.order_items set quantity = quantity + 7, price_id = 'price_of_another' where order_id = (select min(order_id) from recoup.order_items)",
    "delete from recoup.tickets where order_id = (select max(order_id) from recoup.tickets)",
    "delete from recoup.ledger_entries where source_id = (select max(source_id) from recoup.ledger_entries where kind = 'charge')",
    "update recoup.payments set amount_refunded = 0 where amount_refunded > 0",
    "delete from recoup.refunds where id = (select max(id) from recoup.refunds)",
    "delete from recoup.payment_orders where id = (select max(id) from recoup.payment_orders where order_id is not null)",
];

/// All findings of a run, out of its report.
async fn findings(stack: &Stack, reply: &Value) -> Vec<Value> {
    let uri = reply["report"]["json"].as_str().expect("a report");
    let key = uri.strip_prefix(&format!("s3://{}/", stack.bucket)).expect("in the bucket");
    let report: Value = serde_json::from_slice(&stack.s3.read(key).await.expect("stored")).expect("a report");
    report["findings"].as_array().expect("findings").clone()
}

/// Findings, but for whether they were repaired.
fn without_outcome(findings: &[Value]) -> BTreeSet<String> {
    let without = |finding: &Value| {
        let mut finding = finding.clone();
        finding.as_object_mut().expect("an object").remove("repaired");
        finding.to_string()
    };
    findings.iter().map(without).collect()
}

/// Tables with the columns of their keys, and that which leads to the object whose part a row is.
const KEYS: [(&str, &[&str], &str); 22] = [
    ("catalog_items", &["id"], "id"),
    ("charges", &["id"], "id"),
    ("coaching_sessions", &["order_id", "position", "session"], "order_id"),
    ("connected_accounts", &["id"], "id"),
    ("credit_entries", &["id"], "order_id"),
    ("customers", &["id"], "id"),
    ("disputes", &["id"], "id"),
    ("enrollments", &["customer_id", "course"], "order_id"),
    ("invoice_lines", &["invoice_id", "position"], "invoice_id"),
    ("invoice_orders", &["id"], "id"),
    ("invoice_payments", &["id"], "id"),
    ("invoices", &["id"], "id"),
    ("ledger_entries", &["source_id", "kind"], "source_id"),
    ("order_items", &["order_id", "position"], "order_id"),
    ("orders", &["id"], "id"),
    ("payment_orders", &["id"], "id"),
    ("payments", &["id"], "id"),
    ("payouts", &["id"], "id"),
    ("refunds", &["id"], "id"),
    ("subscription_items", &["subscription_id", "id"], "subscription_id"),
    ("subscriptions", &["id"], "id"),
    ("tickets", &["order_id", "position", "seat"], "order_id"),
];

/// The rows that differ between two states, as findings name them: an object and `table[key]`, or the object alone.
fn changed(before: &Rows, after: &Rows) -> BTreeSet<String> {
    let mut changed = BTreeSet::new();
    let mut missing = BTreeSet::new();
    for (table, columns, owner) in KEYS {
        let text = |row: &Value, column: &str| row[column].to_string().trim_matches('"').to_owned();
        for (one, other) in [(after, before), (before, after)] {
            for row in one[table].iter().filter(|row| !other[table].contains(row)) {
                let key: Vec<String> = columns.iter().map(|column| text(row, column)).collect();
                let same = |other: &&Value| columns.iter().all(|column| other[*column] == row[*column]);
                let is_new = before[table].iter().find(same).is_none();
                let own = owner == "id" && !["invoice_orders", "payment_orders"].contains(&table);
                if own {
                    // A guest is made by the session that names them.
                    if !key[0].starts_with("guest_") {
                        changed.insert(key[0].clone());
                    }
                    if is_new {
                        missing.insert(key[0].clone());
                    }
                } else {
                    changed.insert(format!("{} {table}[{}]", text(row, owner), key.join(",")));
                }
            }
        }
    }
    // What a missing object brings goes without saying.
    changed.retain(|name| name.split_once(' ').is_none_or(|(owner, _)| !missing.contains(owner)));
    changed
}

/// What findings name, in the same way.
fn named(findings: &[Value]) -> BTreeSet<String> {
    let name = |finding: &Value| {
        let id = finding["id"].as_str().expect("an id");
        match finding["field"].as_str().and_then(|field| field.split_once(']')) {
            Some((place, _)) => format!("{id} {place}]"),
            None => id.to_owned(),
        }
    };
    findings.iter().map(name).collect()
}

async fn damaged(seed: u64) -> Stack {
    let stack = builder().start().await.expect("a stack");
    let mut life = Life::begin(&stack.stripe, seed, false);
    life.go_on(50);
    settle(&stack).await;
    stack.stripe.faults(Faults { drop: 1.0, ..Faults::default() });
    life.go_on(6);
    settle(&stack).await;
    life.rest();
    for damage in DAMAGE {
        let done = sqlx::query(damage).execute(&stack.pool).await.expect("damage");
        assert!(done.rows_affected() > 0, "{damage}");
    }
    // A row that Stripe never heard of.
    sqlx::query(
        "insert into recoup.charges (id, status, amount, amount_captured, amount_refunded, currency, created_at, event_id,
             event_created, event_rank)
         select 'ch_made_up_1', 'succeeded', 5, 5, 0, 'eur', created_at, 'evt_made_up', created_at, 0
         from recoup.charges order by created_at limit 1",
    )
    .execute(&stack.pool)
    .await
    .expect("a charge");
    stack
}

#[tokio::test]
async fn a_real_run_makes_just_the_changes_that_the_dry_run_named_and_a_second_none() {
    // Histories in which all of the damage can be done.
    for seed in [81, 202, 211, 219] {
        dry_and_real(seed).await;
    }
}

async fn dry_and_real(seed: u64) {
    let stack = damaged(seed).await;
    let before = rows(&stack.pool, &[]).await;
    let audited = "select count(*) from recoup.audit_log";
    let entries = count(&stack, audited).await;
    let dry = objects(&stack, true).await;
    assert_eq!(differences(&before, &rows(&stack.pool, &[]).await), [""; 0], "a dry run changes nothing");
    assert_eq!(count(&stack, audited).await, entries);
    assert_eq!(
        (&dry["drift"], &dry["repaired"], &dry["missing_there"]),
        (&json!(true), &json!(0), &json!(1))
    );

    let before = rows(&stack.pool, &BOOKKEEPING).await;
    let real = objects(&stack, false).await;
    let dry_findings = findings(&stack, &dry).await;
    let findings = findings(&stack, &real).await;
    assert_eq!(without_outcome(&dry_findings), without_outcome(&findings), "seed {seed}");
    for count in ["listed", "missing_here", "different", "missing_there", "unreadable", "unrepaired"] {
        assert_eq!(dry[count], real[count], "{count}");
    }
    assert_eq!(
        real["repaired"].as_i64(),
        Some(real["missing_here"].as_i64().unwrap() + real["different"].as_i64().unwrap()),
    );
    // Each row that changed is named, and each that is named changed; what is only here stays.
    let after = rows(&stack.pool, &BOOKKEEPING).await;
    let repaired: Vec<Value> =
        findings.iter().filter(|finding| finding["repaired"] == true).cloned().collect();
    assert_eq!(named(&repaired), changed(&before, &after), "seed {seed}");
    let made_up = "select count(*) from recoup.charges where id = 'ch_made_up_1'";
    assert_eq!(count(&stack, made_up).await, 1, "what is only here is never deleted");
    let only_here = findings.iter().find(|finding| finding["kind"] == "missing_there").expect("it is named");
    assert_eq!((&only_here["id"], &only_here["repaired"]), (&json!("ch_made_up_1"), &json!(false)));

    // Fields are named with both values; personal data is masked.
    let of = |object: &str, field: &str| {
        let mut all = findings.iter();
        let found = all.find(|finding| finding["object"] == object && finding["field"] == field);
        found.unwrap_or_else(|| panic!("{object} {field}: {real:#}")).clone()
    };
    let captured = of("charge", "amount_captured");
    assert_eq!(captured["ours"], json!(9_007_199_254_740_993_i64));
    assert!(captured["stripe"].as_i64() < Some(1_000_000), "{captured}");
    assert_eq!(of("customer", "email")["ours"], "e***");
    assert!(!real.to_string().contains("@example.com"));

    sqlx::query("delete from recoup.charges where id = 'ch_made_up_1'")
        .execute(&stack.pool)
        .await
        .expect("gone");
    assert_agrees(&objects(&stack, true).await);
    let second = objects(&stack, false).await;
    assert_agrees(&second);
    assert_eq!(
        differences(&after, &{
            let mut rows = rows(&stack.pool, &BOOKKEEPING).await;
            let charges = after["charges"].iter().filter(|row| row["id"] == "ch_made_up_1");
            rows.get_mut("charges").expect("a table").extend(charges.cloned());
            rows
        }),
        [""; 0]
    );
}
