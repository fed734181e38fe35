//! Webhooks that were lost for a while, in a history of everything: afterwards the rows are those of a run in which
//! nothing was lost.

use serde_json::{Value, json};
use sqlx::PgPool;
use stack::Stack;
use stack::stripe::Faults;

use super::life::Life;
use super::shown::{
    BOOKKEEPING, TOLD_BY_EVENTS, assert_agrees, builder, differences, objects, rows, undisturbed,
};
use crate::support::{settle, shuffled, succeeded};

/// A history whose middle no webhook told of; the rest came shuffled and repeated.
async fn with_a_gap(stack: &Stack, seed: u64) {
    stack.stripe.faults(shuffled());
    let mut life = Life::begin(&stack.stripe, seed, true);
    life.go_on(25);
    settle(stack).await;
    stack.stripe.faults(Faults { drop: 1.0, ..Faults::default() });
    life.go_on(30);
    settle(stack).await;
    stack.stripe.faults(shuffled());
    life.go_on(25);
    settle(stack).await;
    life.rest();
}

#[tokio::test]
async fn events_that_were_lost_are_applied_and_every_row_is_as_if_nothing_had_been() {
    let stack = builder().start().await.expect("a stack");
    with_a_gap(&stack, 61).await;
    let undisturbed = undisturbed(&stack).await;
    let expected = rows(&PgPool::connect(undisturbed.url()).await.expect("a pool"), &[]).await;
    assert_ne!(differences(&expected, &rows(&stack.pool, &[]).await), [""; 0], "something was lost");
    let request = json!({"action": "events", "dry_run": false});
    let reply = succeeded(stack.invoke("reconcile", request).await.expect("invoked"));
    assert!(reply["applied"].as_i64() > Some(50), "{reply}");
    // Those of connected accounts are told to their own list, which the platform's does not have.
    let mut expected = expected;
    let mut found = rows(&stack.pool, &[]).await;
    expected.remove("connected_accounts");
    found.remove("connected_accounts");
    assert_eq!(differences(&expected, &found), [""; 0]);
}

#[tokio::test]
async fn objects_close_the_gap_that_no_event_closes_any_more() {
    let stack = builder().start().await.expect("a stack");
    with_a_gap(&stack, 62).await;
    let undisturbed = undisturbed(&stack).await;
    let pool = PgPool::connect(undisturbed.url()).await.expect("a pool");

    // Where nothing was lost there is nothing to find, save what Stripe has no event for.
    let ours = stack.secrets.get("database").await.expect("a secret");
    stack.secrets.put("database", &json!({"url": undisturbed.url()})).await.expect("another database");
    // What its events left open is asked of Stripe.
    succeeded(
        stack.invoke("reconcile", json!({"action": "retry", "dry_run": false})).await.expect("invoked"),
    );
    let calm = objects(&stack, false).await;
    let explained = |finding: &Value| {
        let field = (finding["object"].as_str(), finding["field"].as_str());
        matches!(field, (Some("charge"), Some("amount_refunded")) | (Some("account"), None))
    };
    let found = calm["findings"].as_array().expect("findings");
    assert!(found.iter().all(explained), "{calm:#}");
    assert_agrees(&objects(&stack, true).await);
    stack.secrets.put("database", &ours).await.expect("our database");

    let reply = objects(&stack, false).await;
    assert!(reply["missing_here"].as_i64() > Some(20) && reply["different"].as_i64() > Some(5), "{reply:#}");
    assert_eq!(reply["repaired"].as_i64(), Some(sum(&reply, &["missing_here", "different"])), "{reply:#}");
    let without = [&BOOKKEEPING[..], &TOLD_BY_EVENTS].concat();
    let mut expected = rows(&pool, &without).await;
    let mut found = rows(&stack.pool, &without).await;
    // A customer that came and went within the gap left no trace at Stripe.
    let gone = "select id from recoup.customers where deleted_at is not null and id not like 'guest%'";
    let gone: Vec<String> = sqlx::query_scalar(gone).fetch_all(&pool).await.expect("customers");
    for rows in [&mut expected, &mut found] {
        let here = |row: &Value| !gone.iter().any(|gone| row["id"] == **gone);
        rows.get_mut("customers").expect("a table").retain(here);
    }
    assert_eq!(differences(&expected, &found), [""; 0]);

    assert_agrees(&objects(&stack, true).await);
    let again = objects(&stack, false).await;
    assert_agrees(&again);
    assert_eq!(again["repaired"], 0);
    // Each object that was named is in the audit log, with what its row held.
    let audited: Vec<Value> = sqlx::query_scalar(
        "select before || jsonb_build_object('after', after) from recoup.audit_log
         where action in ('repair object', 'recreate object') and actor = 'reconcile' and (before <> '{}' or after <> '{}')",
    )
    .fetch_all(&stack.pool)
    .await
    .expect("entries");
    let audited = Value::from(audited).to_string();
    for finding in reply["findings"].as_array().expect("findings") {
        assert!(audited.contains(finding["id"].as_str().expect("an id")), "{finding}");
    }

    // The events come after all: days late, they change nothing that was repaired.
    let before = rows(&stack.pool, &without).await;
    let request = json!({"action": "events", "dry_run": false});
    let late = succeeded(stack.invoke("reconcile", request).await.expect("invoked"));
    assert!(late["applied"].as_i64() > Some(50), "{late}");
    let mut before = before;
    let mut after = rows(&stack.pool, &without).await;
    for rows in [&mut before, &mut after] {
        let here = |row: &Value| !gone.iter().any(|gone| row["id"] == **gone);
        rows.get_mut("customers").expect("a table").retain(here);
    }
    assert_eq!(differences(&before, &after), [""; 0]);
    assert_agrees(&objects(&stack, true).await);

    // And what happens from now on counts.
    let customer = "select id from recoup.customers where deleted_at is null and id like 'cus_%' limit 1";
    let customer: String = sqlx::query_scalar(customer).fetch_one(&stack.pool).await.expect("a customer");
    stack.stripe.faults(Faults::default());
    stack.stripe.request("POST", &format!("/v1/customers/{customer}"), "name=Zoe").expect("renamed");
    settle(&stack).await;
    let name: String = sqlx::query_scalar("select name from recoup.customers where id = $1")
        .bind(&customer)
        .fetch_one(&stack.pool)
        .await
        .expect("a name");
    assert_eq!(name, "Zoe");
}

fn sum(reply: &Value, counts: &[&str]) -> i64 {
    counts.iter().filter_map(|count| reply[*count].as_i64()).sum()
}
