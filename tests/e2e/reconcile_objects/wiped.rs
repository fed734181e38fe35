//! Tables that were lost, rebuilt from what Stripe has.

use stack::records::STRIPE_DERIVED;

use super::life::Life;
use super::shown::{BOOKKEEPING, TOLD_BY_EVENTS, assert_agrees, builder, differences, objects, rows, wipe};
use crate::support::settle;

#[tokio::test]
async fn what_was_bought_with_money_that_went_back_is_taken_back_again() {
    let stack = builder().start().await.expect("a stack");
    let mut life = Life::begin(&stack.stripe, 73, false);
    life.go_on(90);
    life.rest();
    settle(&stack).await;
    objects(&stack, false).await;
    assert_agrees(&objects(&stack, true).await);
    for (table, given_back) in [
        ("tickets", "update recoup.tickets set revoked_at = null where revoked_at is not null"),
        ("enrollments", "update recoup.enrollments set revoked_at = null where revoked_at is not null"),
        ("credit_entries", "update recoup.credit_entries set revoked_at = null where revoked_at is not null"),
    ] {
        let given_back = sqlx::query(given_back).execute(&stack.pool).await.expect("given").rows_affected();
        assert!(given_back > 0, "{table}: nothing of it was taken back in this history");
        let dry = objects(&stack, true).await;
        let named = dry["findings"].as_array().expect("findings");
        assert_eq!(named.len() as u64, given_back, "{table}: {dry:#}");
        for finding in named {
            let field = finding["field"].as_str().expect("a field");
            assert!(field.starts_with(table) && field.ends_with("].revoked_at"), "{field}");
        }
        assert_eq!(objects(&stack, false).await["drift"], false, "{table}");
        let left = format!("select count(*) from recoup.{table} where revoked_at is not null");
        let left: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(left)).fetch_one(&stack.pool).await.expect("a count");
        assert_eq!(left.unsigned_abs(), given_back, "{table}");
    }
}

#[tokio::test]
async fn whole_tables_come_back_from_objects_alone() {
    let stack = builder().start().await.expect("a stack");
    let mut life = Life::begin(&stack.stripe, 71, false);
    life.go_on(70);
    life.rest();
    settle(&stack).await;
    // What Stripe has no event for is made even first.
    objects(&stack, false).await;
    assert_agrees(&objects(&stack, true).await);
    let without = [&BOOKKEEPING[..], &TOLD_BY_EVENTS].concat();
    let expected = rows(&stack.pool, &without).await;
    for table in STRIPE_DERIVED {
        assert!(
            !expected[table].is_empty() || matches!(table, "coaching_sessions" | "invoice_orders"),
            "{table}"
        );
    }
    let one_by_one: [&[&str]; 9] = [
        &["tickets"],
        &["enrollments", "credit_entries"],
        &["ledger_entries"],
        &["payments"],
        &["payment_orders", "invoice_orders"],
        &["refunds", "disputes"],
        &["subscription_items", "invoice_lines"],
        &["order_items"],
        &["catalog_items", "connected_accounts", "charges"],
    ];
    for tables in one_by_one {
        wipe(&stack, tables).await;
        let reply = objects(&stack, false).await;
        assert_eq!(reply["drift"], false, "{tables:?}: {reply:#}");
        assert_eq!(differences(&expected, &rows(&stack.pool, &without).await), [""; 0], "{tables:?}");
    }
    // All of them, with the inbox and everything that the runs wrote.
    let all: Vec<&str> =
        STRIPE_DERIVED.into_iter().chain(["webhook_events", "audit_log", "reconciliations"]).collect();
    wipe(&stack, &all).await;
    let reply = objects(&stack, false).await;
    assert_eq!(reply["drift"], false, "{reply:#}");
    assert_eq!(differences(&expected, &rows(&stack.pool, &without).await), [""; 0]);
    assert_agrees(&objects(&stack, true).await);
}
