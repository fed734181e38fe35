//! Input that is bad, or goes bad on the way: clear errors, progress kept, nothing half applied.

use std::time::Duration;

use serde_json::{Value, json};
use stack::Stack;
use stack::shop::Shop;
use stack::stripe::ApiFault;

use super::shown::{BOOKKEEPING, assert_agrees, builder, differences, objects, objects_with, rows};
use crate::http::unix_now;
use crate::support::{count, failed, settle, succeeded};

async fn asked(stack: &Stack, request: Value) -> stack::lambda::Reply {
    stack.invoke("reconcile", request).await.expect("invoked")
}

fn message(reply: &stack::lambda::Reply) -> &str {
    reply.payload["errorMessage"].as_str().expect("a message")
}

fn customer(id: &str, created: i64) -> Value {
    json!({
        "id": id, "object": "customer", "created": created, "livemode": false, "email": null, "name": "Ann",
        "metadata": {"batch": "7"},
    })
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused() {
    let stack = builder().env("reconcile", "STRIPE_ACCOUNTS", "none").start().await.expect("a stack");
    for (request, named) in [
        (
            json!({"action": "objects", "from": "2026-11-20T00:00:00Z", "to": "2026-11-19T00:00:00Z"}),
            "ends before",
        ),
        (json!({"action": "objects", "from": "2199-01-01T00:00:00Z"}), "ends before"),
        (json!({"action": "objects", "account": "acct_of_others"}), "STRIPE_ACCOUNTS"),
        (json!({"action": "objects", "event_id": "evt_1"}), "event_id"),
        (json!({"action": "objects", "left": [{"object": "sun", "to": "2026-11-19T00:00:00Z"}]}), "sun"),
        (json!({"action": "objects", "metadata": "batch"}), "metadata"),
        (json!({"action": "events", "account": "acct_1"}), "STRIPE_ACCOUNTS"),
        (json!({"action": "events", "metadata": {"batch": "7"}}), "objects"),
    ] {
        let reply = asked(&stack, request.clone()).await;
        assert_eq!(failed(&reply), "InvalidRequest", "{request}");
        assert!(message(&reply).contains(named), "{request}: {}", message(&reply));
    }
    assert_eq!(count(&stack, "select count(*) from recoup.reconciliations").await, 0);
}

#[tokio::test]
async fn a_key_is_refused_by_name_and_what_was_done_before_is_kept() {
    let stack = builder().start().await.expect("a stack");
    stack.stripe.request("POST", "/v1/customers", "name=Ann").expect("a customer");
    let good = stack.secrets.get("stripe-api").await.expect("a key");
    for action in ["objects", "events", "retry"] {
        stack.secrets.put("stripe-api", &json!({"api_key": "sk_live_51Secret00009876"})).await.expect("kept");
        let reply = asked(&stack, json!({"action": action})).await;
        assert_eq!(failed(&reply), "StripeKeyOfOtherMode", "{action}");
        let text = message(&reply);
        assert!(
            text.contains("sk_live_…9876") && text.contains("test mode") && !text.contains("Secret"),
            "{text}"
        );
    }
    stack.secrets.put("stripe-api", &good).await.expect("kept");
    let key = stack.stripe.api_key();
    stack.stripe.revoke_api_key(&key);
    let reply = asked(&stack, json!({"action": "objects", "dry_run": false})).await;
    assert_eq!(failed(&reply), "StripeKeyRefused");
    let text = message(&reply);
    assert!(text.contains("sk_test_…0000") && text.contains("api_key_expired"), "{text}");
    assert!(text.contains("stripe-api") && text.contains("dashboard") && !text.contains(&key), "{text}");
    let (_, findings) = text.split_once(" Findings: ").expect("what is left to do");
    let findings: Value = serde_json::from_str(findings).expect("json");
    assert!(findings["remaining"]["left"].as_array().is_some_and(|left| left.len() >= 12), "{findings}");
    stack.stripe.add_api_key(&key);
    succeeded(asked(&stack, findings["remaining"].clone()).await);
}

#[tokio::test]
async fn an_odd_object_is_told_and_the_run_goes_on() {
    let stack = builder().start().await.expect("a stack");
    let mut shop = Shop::open(&stack.stripe, 91).expect("a shop");
    shop.sell(8).expect("sales");
    settle(&stack).await;
    objects(&stack, false).await;
    assert_agrees(&objects(&stack, true).await);
    let charges = stack.stripe.request("GET", "/v1/charges", "limit=100").expect("charges");
    let charges = charges["data"].as_array().expect("data");
    let paid: Vec<&Value> = charges.iter().filter(|charge| charge["captured"] == true).collect();
    let with = |charge: &Value, field: &str, value: Value| {
        let mut odd = charge.clone();
        odd[field] = value;
        stack.stripe.put(&odd);
    };
    // Beyond what a double holds is money as any other; beyond 64 bits is none.
    with(paid[0], "amount", json!(9_007_199_254_740_993_i64));
    with(paid[1], "currency", json!("euro"));
    with(paid[2], "amount", serde_json::from_str("99999999999999999999").expect("a number"));
    with(paid[3], "livemode", json!(true));
    // What an event wrote in the second that a list is of is newer than the list.
    stack.stripe.advance_clock(5);
    let before = rows(&stack.pool, &BOOKKEEPING).await;
    let reply = objects(&stack, false).await;
    assert_eq!(
        (&reply["unreadable"], &reply["different"], &reply["repaired"], &reply["drift"]),
        (&json!(3), &json!(1), &json!(1), &json!(true)),
        "{reply:#}"
    );
    let findings = reply["findings"].as_array().expect("findings");
    let reason = |of: &Value| {
        let finding = findings.iter().find(|finding| finding["id"] == of["id"]).expect("it is named");
        finding["reason"].as_str().unwrap_or_default().to_owned()
    };
    assert!(reason(paid[1]).contains("currency"), "{reply:#}");
    assert!(reason(paid[2]).contains("amount"), "{reply:#}");
    assert!(reason(paid[3]).contains("other mode"), "{reply:#}");
    let amount: i64 = sqlx::query_scalar("select amount from recoup.charges where id = $1")
        .bind(paid[0]["id"].as_str())
        .fetch_one(&stack.pool)
        .await
        .expect("an amount");
    assert_eq!(amount, 9_007_199_254_740_993);
    let mut expected = before;
    let mut after = rows(&stack.pool, &BOOKKEEPING).await;
    for rows in [&mut expected, &mut after] {
        rows.get_mut("charges").expect("a table").retain(|row| row["id"] != paid[0]["id"]);
    }
    assert_eq!(differences(&expected, &after), [""; 0], "the odd ones are left as they are");
    // What the rows refuse is told too, with the constraint, and costs nothing else.
    sqlx::query("alter table recoup.customers add constraint customers_small check (name <> 'Huge')")
        .execute(&stack.pool)
        .await
        .expect("a rule");
    let mut huge = customer("cus_Huge1", unix_now() - 10);
    huge["name"] = json!("Huge");
    stack.stripe.put(&huge);
    stack.stripe.put(&customer("cus_Small1", unix_now() - 10));
    let reply = objects(&stack, false).await;
    assert_eq!((&reply["unrepaired"], &reply["repaired"]), (&json!(1), &json!(1)), "{reply:#}");
    assert!(reply["findings"].to_string().contains("customers_small"), "{reply:#}");
}

#[tokio::test]
async fn what_no_statement_repairs_is_told_and_what_is_newer_than_the_list_is_left() {
    let stack = builder().start().await.expect("a stack");
    stack.stripe.set_clock(unix_now() - 100);
    let mut shop = Shop::open(&stack.stripe, 93).expect("a shop");
    shop.sell(6).expect("sales");
    stack.stripe.advance_clock(10);
    settle(&stack).await;
    objects(&stack, false).await;
    assert_agrees(&objects(&stack, true).await);

    // A row of a later second than the list knows all of.
    let made = stack.stripe.request("POST", "/v1/customers", "name=Ann").expect("a customer");
    settle(&stack).await;
    let by_hand = sqlx::query("update recoup.customers set name = 'Eve' where id = $1");
    by_hand.bind(made["id"].as_str()).execute(&stack.pool).await.expect("changed");
    for dry_run in [true, false] {
        assert_agrees(&objects(&stack, dry_run).await);
    }
    stack.stripe.advance_clock(5);
    for dry_run in [true, false] {
        let reply = objects(&stack, dry_run).await;
        assert_eq!(
            (&reply["different"], &reply["findings"][0]["ours"]),
            (&json!(1), &json!("E***")),
            "{reply:#}"
        );
    }

    // What was posted stays posted.
    let wrong = "update recoup.ledger_entries set amount = amount + 1
        where source_id = (select min(source_id) from recoup.ledger_entries where kind = 'charge') and kind = 'charge'";
    sqlx::query(wrong).execute(&stack.pool).await.expect("changed");
    for dry_run in [true, false] {
        let reply = objects(&stack, dry_run).await;
        assert_eq!(
            (&reply["different"], &reply["unrepaired"], &reply["repaired"], &reply["drift"]),
            (&json!(1), &json!(1), &json!(0), &json!(true)),
            "{reply:#}"
        );
        let finding = &reply["findings"][0];
        assert_eq!(
            (&finding["object"], &finding["repaired"]),
            (&json!("charge"), &json!(false)),
            "{reply:#}"
        );
        assert!(finding["reason"].as_str().is_some_and(|reason| reason.contains("ledger")), "{reply:#}");
    }
}

#[tokio::test]
async fn a_list_that_changes_while_it_is_read_is_read_to_its_end() {
    let stack = builder().start().await.expect("a stack");
    let begin = unix_now() - 4_000;
    for at in 0..450 {
        stack.stripe.put(&customer(&format!("cus_List{at}"), begin + i64::from(at) / 3));
    }
    let stripe = stack.stripe.clone();
    let meddler = tokio::spawn(async move {
        for at in (0..450).rev() {
            stripe.forget(&format!("cus_List{at}"));
            stripe.put(&customer(&format!("cus_New{at}"), unix_now()));
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    });
    let request = json!({"action": "objects", "from": "2020-01-01T00:00:00Z", "dry_run": false});
    let reply = succeeded(asked(&stack, request).await);
    meddler.await.expect("it meddles");
    assert_eq!(reply["status"], "completed", "{reply:#}");
    // Now nothing moves: what came late is found, what is gone is named and stays.
    let reply = objects(&stack, false).await;
    assert_eq!(
        count(&stack, "select count(*) from recoup.customers where id like 'cus_New%'").await,
        450,
        "{reply:#}"
    );
    let kept = count(&stack, "select count(*) from recoup.customers where id like 'cus_List%'").await;
    assert!(kept > 0);
    assert_eq!(reply["missing_there"].as_i64(), Some(kept), "{reply:#}");
}

#[tokio::test]
async fn stripe_being_down_costs_no_progress() {
    let stack = builder().start().await.expect("a stack");
    let begin = unix_now() - 4_000;
    for at in 0..130 {
        stack.stripe.put(&customer(&format!("cus_{at}a"), begin + at));
        let price = json!({
            "id": format!("prod_{at}a"), "object": "product", "created": begin + at, "livemode": false, "active": true,
            "name": "Thing", "metadata": {},
        });
        stack.stripe.put(&price);
    }
    // Long enough for every attempt that a client makes.
    stack.stripe.fail_next(10_000, ApiFault::ServerError);
    let request = json!({"action": "objects", "from": "2020-01-01T00:00:00Z", "dry_run": false, "metadata": {"batch": "7"}});
    let reply = succeeded(asked(&stack, request).await);
    assert_eq!(
        (&reply["status"], &reply["listed"], &reply["drift"]),
        (&json!("partial"), &json!(0), &json!(true))
    );
    assert!(reply["warnings"].to_string().contains("remaining goes on"), "{reply:#}");
    let remaining = reply["remaining"].clone();
    stack.stripe.heal();
    let reply = succeeded(asked(&stack, remaining).await);
    assert_eq!((&reply["status"], &reply["repaired"]), (&json!("completed"), &json!(130)), "{reply:#}");
    assert_eq!(count(&stack, "select count(*) from recoup.catalog_items").await, 0, "they lack the metadata");
    assert_eq!(
        count(&stack, "select count(*) from recoup.reconciliations where scope = 'objects' and narrowed")
            .await,
        2
    );
}

#[tokio::test]
async fn time_that_is_up_leaves_a_payload_that_goes_on() {
    let stack = builder().timeout("reconcile", Duration::from_secs(59)).start().await.expect("a stack");
    let begin = unix_now() - 4_000;
    for at in 0..250 {
        stack.stripe.put(&customer(&format!("cus_{at}a"), begin + at));
    }
    let request = json!({"action": "objects", "from": "2020-01-01T00:00:00Z", "dry_run": false, "actor": "ada",
        "reason": "after the flood"});
    let reply = succeeded(asked(&stack, request).await);
    assert_eq!(
        (&reply["status"], &reply["listed"]),
        (&json!("partial"), &json!(0)),
        "a minute is kept in reserve"
    );
    let remaining = reply["remaining"].clone();
    assert_eq!((&remaining["actor"], &remaining["dry_run"]), (&json!("ada"), &json!(false)));
    let stack = Stack::builder()
        .functions(["webhook", "reconcile"])
        .database(stack::DatabaseChoice::Given(stack.database_url.clone()))
        .env("reconcile", "STRIPE_API_BASE", &stack.stripe.api_base())
        .env("reconcile", "STRIPE_ACCOUNTS", "all")
        .start()
        .await
        .map(|other| (stack, other))
        .expect("another stack");
    let (_first, second) = stack;
    let reply = succeeded(asked(&second, remaining).await);
    assert_eq!((&reply["status"], &reply["repaired"]), (&json!("completed"), &json!(250)), "{reply:#}");
    let audited = "select count(*) from recoup.audit_log where actor = 'ada' and reason = 'after the flood'";
    assert_eq!(count(&second, audited).await, 250);
}

#[tokio::test]
async fn an_account_that_left_is_named_and_the_others_are_compared() {
    let stack = builder()
        .env("reconcile", "STRIPE_ACCOUNTS", "acct_here1,acct_left1")
        .start()
        .await
        .expect("a stack");
    stack.stripe.pause_deliveries();
    let here = stack.stripe.account("acct_here1");
    here.request("POST", "/v1/customers", "name=Theirs").expect("a customer");
    let reply = objects(&stack, false).await;
    assert!(reply["warnings"].to_string().contains("account acct_left1"), "{reply:#}");
    assert_eq!((&reply["drift"], &reply["repaired"]), (&json!(true), &json!(2)), "{reply:#}");
    let theirs = "select count(*) from recoup.customers where account = 'acct_here1'";
    assert_eq!(count(&stack, theirs).await, 1);
    let alone = objects_with(&stack, true, json!({"account": "acct_here1"})).await;
    assert_agrees(&alone);
    let reply = asked(&stack, json!({"action": "objects", "account": "acct_left1"})).await;
    assert_eq!(failed(&reply), "StripeAccountRefused");
    // A run of one account is not the run that the next whole one goes on from.
    let narrowed = "select count(*) from recoup.reconciliations where narrowed";
    assert_eq!(count(&stack, narrowed).await, 1);
}

#[tokio::test]
async fn clocks_that_differ_are_told_and_deleted_customers_get_their_tombstone() {
    let stack = builder().start().await.expect("a stack");
    let made =
        stack.stripe.request("POST", "/v1/customers", "name=Ann&email=ann@example.com").expect("a customer");
    settle(&stack).await;
    stack.stripe.faults(stack::stripe::Faults { drop: 1.0, ..stack::stripe::Faults::default() });
    let id = made["id"].as_str().expect("an id");
    stack.stripe.set_clock(unix_now() - 3_600);
    stack.stripe.request("DELETE", &format!("/v1/customers/{id}"), "").expect("deleted");
    settle(&stack).await;
    let reply = objects(&stack, false).await;
    assert!(reply["warnings"].to_string().contains("clock is 36"), "{reply:#}");
    // By Stripe's clock it was made after it was deleted here: nothing older than its event overwrites it.
    assert_eq!(count(&stack, "select count(*) from recoup.customers where deleted_at is null").await, 1);
    stack.stripe.set_clock(unix_now() + 10);
    let reply = objects(&stack, false).await;
    assert_eq!((&reply["different"], &reply["repaired"]), (&json!(1), &json!(1)), "{reply:#}");
    assert_eq!(reply["findings"][0]["field"], "deleted_at", "{reply:#}");
    let kept = "select count(*) from recoup.customers where deleted_at is not null and name = 'Ann'";
    assert_eq!(count(&stack, kept).await, 1, "what was known of it stays");
    assert_agrees(&objects(&stack, true).await);
}
