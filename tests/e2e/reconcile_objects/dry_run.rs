//! A dry run says exactly what the real one does.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stack::Stack;
use stack::stripe::Faults;

use super::life::Life;
use super::shown::{BOOKKEEPING, Rows, assert_agrees, builder, differences, objects, rows};
use crate::support::{count, settle};

/// What somebody did to the rows by hand, and what a bad restore left out.
const DAMAGE: [&str; 14] = [
    "update recoup.customers set email = 'eve@example.com' where id = (select min(id) from recoup.customers where id like 'cus_%')",
    "update recoup.catalog_items set grants_quantity = 7 where id = (select min(id) from recoup.catalog_items where grants_kind = 'course')",
    "update recoup.payments set amount = 1, currency = 'chf' where id = (select min(id) from recoup.payments)",
    "update recoup.charges set amount_captured = 9007199254740993, created_at = now() where id = (select min(id) from recoup.charges where status = 'succeeded')",
    "update recoup.refunds set status = 'pending' where id = (select min(id) from recoup.refunds where status = 'succeeded')",
    "update recoup.subscriptions set status = 'unpaid' where id = (select min(id) from recoup.subscriptions)",
    "update recoup.invoices set total = -1 where id = (select min(id) from recoup.invoices)",
    "update recoup.orders set status = 'pending', paid_at = null where id = (select min(id) from recoup.orders where status = 'paid')",
    "update recoup.invoice_lines set amount = amount + 1 where invoice_id = (select max(invoice_id) from recoup.invoice_lines)",
    "delete from recoup.tickets where order_id = (select max(order_id) from recoup.tickets)",
    "delete from recoup.ledger_entries where source_id = (select max(source_id) from recoup.ledger_entries where kind = 'charge')",
    "update recoup.payments set amount_refunded = 0 where amount_refunded > 0",
    "delete from recoup.refunds where id = (select max(id) from recoup.refunds)",
    "delete from recoup.payment_orders where id = (select max(id) from recoup.payment_orders where order_id is not null)",
];

/// The findings of objects' own rows. What follows from several objects goes without saying where one of them was repaired
/// before, which depends on whose list came first.
fn without_outcome(reply: &Value) -> BTreeSet<String> {
    let findings = reply["findings"].as_array().expect("findings");
    assert!(findings.len() < 100, "all of them are named: {}", findings.len());
    let follows = |finding: &&Value| {
        let field = finding["field"].as_str().unwrap_or_default();
        field.contains('[') && finding.get("stripe").is_none() && finding.get("ours").is_none()
    };
    findings
        .iter()
        .filter(|finding| !follows(finding))
        .map(|finding| {
            let mut finding = finding.clone();
            finding.as_object_mut().expect("an object").remove("repaired");
            finding.to_string()
        })
        .collect()
}

/// Own rows that differ between two states, as findings name their objects.
fn changed(before: &Rows, after: &Rows) -> BTreeSet<String> {
    let own = [
        "catalog_items",
        "charges",
        "connected_accounts",
        "customers",
        "disputes",
        "invoice_payments",
        "invoices",
        "orders",
        "payouts",
        "refunds",
        "subscriptions",
    ];
    let mut ids = BTreeSet::new();
    for table in own {
        let differ = |one: &Rows, other: &Rows| -> Vec<String> {
            let rows = one[table].iter().filter(|row| !other[table].contains(row));
            rows.filter_map(|row| row["id"].as_str().map(str::to_owned)).collect()
        };
        ids.extend(differ(before, after));
        ids.extend(differ(after, before));
    }
    ids
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
    let stack = damaged(81).await;
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
    assert_eq!(without_outcome(&dry), without_outcome(&real));
    for count in ["listed", "missing_here", "missing_there", "unreadable", "unrepaired"] {
        assert_eq!(dry[count], real[count], "{count}");
    }
    // Each own row that changed is named, and each that is named changed; what is only here stays.
    let after = rows(&stack.pool, &BOOKKEEPING).await;
    let findings = real["findings"].as_array().expect("findings");
    let repaired = findings.iter().filter(|finding| finding["repaired"] == true);
    let of_rows = |finding: &&Value| {
        let field = finding["field"].as_str().unwrap_or_default();
        finding["object"] != "payment_intent" && !field.contains('[')
    };
    let named: BTreeSet<String> =
        repaired.filter(of_rows).filter_map(|finding| finding["id"].as_str().map(str::to_owned)).collect();
    let mut changed = changed(&before, &after);
    // A guest is made by the session that names them.
    changed.retain(|id| !id.starts_with("guest_"));
    assert!(named.is_subset(&changed), "{:?}", named.difference(&changed));
    let implied: Vec<&String> = changed.difference(&named).collect();
    assert_eq!(implied, Vec::<&String>::new());
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
