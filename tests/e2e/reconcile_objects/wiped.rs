//! Tables that were lost, rebuilt from what Stripe has.

use stack::records::STRIPE_DERIVED;

use super::life::Life;
use super::shown::{BOOKKEEPING, TOLD_BY_EVENTS, assert_agrees, builder, differences, objects, rows, wipe};
use crate::support::settle;

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
