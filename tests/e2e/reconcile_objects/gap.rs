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
    assert!(
        reply["accounts"].as_i64() > Some(1),
        "those of connected accounts are in their own lists: {reply}"
    );
    let found = rows(&stack.pool, &[]).await;
    assert_eq!(differences(&expected, &found), [""; 0]);
}

#[tokio::test]
async fn events_of_one_account_and_of_one_that_left() {
    let stack = builder()
        .env("reconcile", "STRIPE_ACCOUNTS", "acct_here1,acct_left1")
        .start()
        .await
        .expect("a stack");
    stack.stripe.faults(Faults { drop: 1.0, ..Faults::default() });
    let here = stack.stripe.account("acct_here1");
    here.request("POST", "/v1/customers", "name=Theirs").expect("a customer");
    stack.stripe.request("POST", "/v1/customers", "name=Ours").expect("a customer");
    settle(&stack).await;
    let ask = async |request: Value| stack.invoke("reconcile", request).await.expect("invoked");
    let alone = json!({"action": "events", "account": "acct_here1", "dry_run": false});
    let alone = succeeded(ask(alone).await);
    assert_eq!((&alone["accounts"], &alone["drift"]), (&json!(1), &json!(false)), "{alone}");
    assert_eq!(alone["events"][0]["account"], "acct_here1", "{alone}");
    let names: Vec<(String, Option<String>)> =
        sqlx::query_as("select name, account from recoup.customers order by name")
            .fetch_all(&stack.pool)
            .await
            .expect("customers");
    assert_eq!(names, [("Theirs".to_owned(), Some("acct_here1".to_owned()))]);
    // The next whole run does not go on from where a run of one account ended.
    let all = succeeded(ask(json!({"action": "events", "dry_run": false})).await);
    assert!(all["warnings"].to_string().contains("account acct_left1"), "{all}");
    assert_eq!(
        (&all["accounts"], &all["drift"], &all["failed"]),
        (&json!(2), &json!(true), &json!(0)),
        "{all}"
    );
    let ours = "select count(*) from recoup.customers where name = 'Ours' and account is null";
    assert_eq!(crate::support::count(&stack, ours).await, 1);
    let left = ask(json!({"action": "events", "account": "acct_left1"})).await;
    assert_eq!(crate::support::failed(&left), "StripeAccountRefused");
    let none = ask(json!({"action": "events", "account": "acct_of_others"})).await;
    assert_eq!(crate::support::failed(&none), "InvalidRequest");
}

#[tokio::test]
async fn an_event_of_the_very_second_up_to_which_an_object_was_read_changes_nothing() {
    let stack = builder().start().await.expect("a stack");
    stack.stripe.faults(Faults { drop: 1.0, ..Faults::default() });
    stack.stripe.set_clock(crate::http::unix_now() - 100);
    let made = stack.stripe.request("POST", "/v1/customers", "name=Ann").expect("a customer");
    let path = format!("/v1/customers/{}", made["id"].as_str().expect("an id"));
    for name in ["Bea", "Cyd"] {
        stack.stripe.request("POST", &path, &format!("name={name}")).expect("renamed");
    }
    settle(&stack).await;
    // Now the second is over, and the answer knows all of it.
    stack.stripe.advance_clock(2);
    objects(&stack, false).await;
    let name = async || -> String {
        let name = sqlx::query_scalar("select name from recoup.customers").fetch_one(&stack.pool);
        name.await.expect("a name")
    };
    assert_eq!(name().await, "Cyd");
    stack.stripe.faults(Faults::default());
    let events = stack.stripe.events();
    let renamed: Vec<&Value> = events.iter().filter(|event| event["type"] == "customer.updated").collect();
    assert_eq!(renamed[0]["data"]["object"]["name"], "Bea");
    stack.stripe.resend(renamed[0]["id"].as_str().expect("an id")).expect("sent");
    settle(&stack).await;
    let processed = "select count(*) from recoup.webhook_events where status = 'processed'";
    assert_eq!(crate::support::count(&stack, processed).await, 1, "it came late");
    assert_eq!(name().await, "Cyd");
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
