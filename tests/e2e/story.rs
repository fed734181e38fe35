//! The promise: the database is lost at some moment, and everything comes back.

use serde_json::json;
use stack::Stack;
use stack::records::Records;
use stack::shop::Shop;
use stack::stripe::ApiFault;

use crate::support::{count, eager, failed, records_of, sell, settle, shuffled, succeeded};

/// `pg_dump`, with the rows of each table sorted: COPY's order is where rows happen to lie.
async fn sorted_dump(stack: &Stack, database_url: &str) -> String {
    // What belongs to one history of one database, and comes back empty.
    let of_one_history =
        ["--exclude-table-data=recoup.row_changes", "--exclude-table-data=recoup.change_segments"];
    let dump = stack.postgres.pg_dump(database_url, &of_one_history).await.expect("a dump");
    let mut sorted = Vec::new();
    let mut rows: Option<Vec<&str>> = None;
    for line in dump.lines() {
        match &mut rows {
            Some(kept) if line == r"\." => {
                kept.sort_unstable();
                sorted.append(kept);
                sorted.push(line);
                rows = None;
            }
            Some(kept) => kept.push(line),
            // A token that newer versions of pg_dump draw anew each time.
            None if line.starts_with(r"\restrict") || line.starts_with(r"\unrestrict") => {}
            None => {
                sorted.push(line);
                if line.starts_with("COPY ") && line.ends_with("FROM stdin;") {
                    rows = Some(Vec::new());
                }
            }
        }
    }
    sorted.join("\n")
}

#[tokio::test]
async fn after_a_drop_restore_and_reconcile_bring_every_row_back() {
    let stack = eager().start().await.expect("a stack");
    // An application's own table lives beside ours and belongs to a full backup.
    sqlx::raw_sql(
        "create table public.lessons (id serial primary key, title text not null unique, body jsonb);
         insert into public.lessons (title, body) select 'lesson ' || n, jsonb_build_object('n', n) from generate_series(1, 500) n",
    )
    .execute(&stack.pool)
    .await
    .expect("an application's table");
    stack.stripe.faults(shuffled());
    let mut shop = Shop::open(&stack.stripe, 42).expect("a shop");
    sell(&stack, &mut shop, 80).await;

    let at_backup = sorted_dump(&stack, &stack.database_url).await;
    succeeded(stack.invoke("backup", json!({"backup_type": "full"})).await.expect("invoked"));
    // The backup's own row in the cache comes after its snapshot.
    sell(&stack, &mut shop, 40).await;
    let before = records_of(&stack).await;

    let name = stack.drop_database().await.expect("dropped");
    let request = json!({"action": "backup_restore", "backup_id": "latest", "target_database": name});
    let restored = succeeded(stack.invoke("restore", request).await.expect("invoked"));
    assert!(restored["tables"].as_array().expect("tables").len() > 10, "{restored}");
    let at_restore = sorted_dump(&stack, &stack.database_url).await;
    assert!(at_backup.contains("COPY recoup.orders"), "the dump has data");
    assert_eq!(at_backup, at_restore, "pg_dump of the restored database is that of the original");
    assert_ne!(
        before.differences(&records_of(&stack).await),
        Vec::<String>::new(),
        "sales after the backup are missing"
    );

    let dry = succeeded(stack.invoke("reconcile", json!({"action": "events"})).await.expect("invoked"));
    assert!(dry["missing"].as_u64() > Some(0) && dry["applied"] == 0 && dry["drift"] == true, "{dry}");
    let real = json!({"action": "events", "dry_run": false});
    let applied = succeeded(stack.invoke("reconcile", real.clone()).await.expect("invoked"));
    assert_eq!(
        (&applied["missing"], &applied["applied"], &applied["drift"]),
        (&dry["missing"], &dry["missing"], &json!(false))
    );
    let after = Records::read(&stack.pool).await.expect("records");
    assert_eq!(before.differences(&after), Vec::<String>::new());
    assert_eq!(before.money, after.money);

    let again = succeeded(stack.invoke("reconcile", real).await.expect("invoked"));
    assert_eq!((again["missing"].as_u64(), again["listed"].as_u64() > Some(0)), (Some(0), true), "{again}");
    let audited: i64 = sqlx::query_scalar("select count(*) from recoup.audit_log where actor = 'reconcile'")
        .fetch_one(&stack.pool)
        .await
        .expect("audited");
    assert_eq!(Some(audited), applied["applied"].as_i64(), "every repair is audited");
}

#[tokio::test]
async fn webhooks_that_never_arrived_are_found_and_applied() {
    let calm = eager().functions(["webhook"]).start().await.expect("a stack");
    let lossy = eager().functions(["webhook", "reconcile"]).start().await.expect("a stack");
    lossy.stripe.faults(stack::stripe::Faults { drop: 0.3, ..shuffled() });
    let mut shop = Shop::open(&lossy.stripe, 5).expect("a shop");
    sell(&lossy, &mut shop, 60).await;
    let request = json!({"action": "events", "dry_run": false});
    let reply = succeeded(lossy.invoke("reconcile", request).await.expect("invoked"));
    assert!(reply["applied"].as_u64() > Some(20), "{reply}");
    assert_eq!(reply["failed"], 0, "{reply}");

    crate::webhook::deliver_all(&lossy, &calm, &lossy.stripe.events(), 4).await;
    let (expected, found) = (records_of(&calm).await, records_of(&lossy).await);
    assert_eq!(expected.differences(&found), Vec::<String>::new());
}

#[tokio::test]
async fn two_reconciles_at_once_apply_each_event_once() {
    let stack = eager().functions(["webhook", "reconcile"]).start().await.expect("a stack");
    stack.stripe.faults(stack::stripe::Faults { drop: 1.0, ..stack::stripe::Faults::default() });
    let mut shop = Shop::open(&stack.stripe, 9).expect("a shop");
    sell(&stack, &mut shop, 30).await;
    let request = json!({"action": "events", "dry_run": false});
    let (one, other) =
        tokio::join!(stack.invoke("reconcile", request.clone()), stack.invoke("reconcile", request.clone()));
    let (one, other) = (succeeded(one.expect("invoked")), succeeded(other.expect("invoked")));
    let applied = one["applied"].as_i64().expect("a count") + other["applied"].as_i64().expect("a count");
    assert_eq!(usize::try_from(applied).expect("a count"), stack.stripe.event_count());
    assert_eq!(count(&stack, "select count(*) from recoup.audit_log").await, applied);
}

#[tokio::test]
async fn what_could_not_be_fetched_is_kept_and_applied_when_stripe_answers_again() {
    let stack = eager().functions(["webhook", "reconcile"]).start().await.expect("a stack");
    let mut shop = Shop::open(&stack.stripe, 17).expect("a shop");
    settle(&stack).await;
    let key = stack.stripe.api_key();
    stack.stripe.revoke_api_key(&key);
    sell(&stack, &mut shop, 10).await;
    let left = count(&stack, "select count(*) from recoup.webhook_events where status = 'failed'").await;
    let due = "select count(*) from recoup.webhook_events
        where status = 'failed' and last_error like 'fetch line items: Stripe refused the API key%'
            and next_attempt_at between now() and now() + interval '1 minute'";
    assert!(left > 0);
    assert_eq!(count(&stack, due).await, left);
    assert_eq!(count(&stack, "select count(*) from recoup.orders where status = 'paid'").await, 0);

    let request = json!({"action": "events", "dry_run": false});
    let reply = stack.invoke("reconcile", request.clone()).await.expect("invoked");
    assert_eq!(failed(&reply), "StripeKeyRefused");
    assert!(!reply.payload.to_string().contains(&key), "{}", reply.payload);
    assert_eq!(count(&stack, "select count(*) from recoup.reconciliations").await, 0);

    // Two answers that fail are outwaited.
    stack.stripe.add_api_key(&key);
    stack.stripe.fail_next(2, ApiFault::ServerError);
    let reply = succeeded(stack.invoke("reconcile", request).await.expect("invoked"));
    assert_eq!((reply["applied"].as_i64(), reply["failed"].as_i64()), (Some(left), Some(0)), "{reply}");
    assert_eq!(count(&stack, "select count(*) from recoup.webhook_events where status = 'failed'").await, 0);
    assert!(count(&stack, "select count(*) from recoup.orders where status = 'paid'").await > 0);
}
