//! One history, however often and by whomever it is exported.

use std::collections::BTreeSet;
use std::time::Duration;

use recoup::changes::{Action, ChangesError};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use stack::Stack;

use super::apply::{assert_same, base, changes_of, changes_stack, export, now, plan, state_at, state_now};
use crate::archive_stack::{archive_stack, drop_database, execute, full_backup, id_of, succeed, target};

const ORDERS: &str = "CREATE TABLE public.orders (id int PRIMARY KEY, note text);
    SELECT recoup.capture_table('public.orders')";

fn chain_of(reply: &Value) -> String {
    reply["segment_id"].as_str().unwrap().split('/').next().unwrap().to_owned()
}

async fn rows_waiting(stack: &Stack) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM recoup.row_changes").fetch_one(&stack.pool).await.unwrap()
}

#[tokio::test]
async fn two_exports_hold_each_change_once_and_two_at_once_are_one() {
    let stack = changes_stack().start().await.unwrap();
    execute(&stack.database_url, ORDERS).await;
    let full = base(&stack).await;
    execute(&stack.database_url, "INSERT INTO public.orders SELECT n FROM generate_series(1, 100) AS n")
        .await;
    let once = export(&stack).await;
    assert_eq!((&once["record_count"], &once["transactions"]), (&json!(100), &json!(1)), "{once}");
    let twice = export(&stack).await;
    assert_eq!(twice["record_count"], 0, "{twice}");

    execute(&stack.database_url, "UPDATE public.orders SET note = 'x'").await;
    let request = json!({"backup_type": "changes"});
    let (one, other) =
        tokio::join!(succeed(&stack, "backup", request.clone()), succeed(&stack, "backup", request));
    let mut found: Vec<&str> = [&one, &other].map(|reply| reply["status"].as_str().unwrap()).into();
    found.sort_unstable();
    // Whether they met or not, the changes are there once.
    assert!(found == ["completed", "running"] || found == ["completed", "completed"], "{one} {other}");
    let at = now(&stack).await;
    export(&stack).await;
    let changes = changes_of(&stack, &plan(&stack, &full, at).await.unwrap()).await.unwrap();
    let ids: BTreeSet<i64> = changes.iter().map(|change| change.id).collect();
    assert_eq!((changes.len(), ids.len()), (200, 200));
    assert!(changes.is_sorted_by_key(|change| change.id));
    succeed(&stack, "verify", json!({"action": "changes"})).await;
}

#[tokio::test]
async fn a_transaction_that_is_open_for_long_is_exported_whole_when_it_ends() {
    let stack = changes_stack().start().await.unwrap();
    execute(&stack.database_url, ORDERS).await;
    let full = base(&stack).await;
    let mut long = PgConnection::connect(&stack.database_url).await.unwrap();
    sqlx::raw_sql("BEGIN; INSERT INTO public.orders VALUES (1, 'long')").execute(&mut long).await.unwrap();
    execute(&stack.database_url, "INSERT INTO public.orders VALUES (2, 'short')").await;
    let (without, without_at) = (state_now(&stack).await, now(&stack).await);
    for _ in 0..3 {
        execute(&stack.database_url, "UPDATE public.orders SET note = note || '.' WHERE id = 2").await;
        export(&stack).await;
    }
    // What was exported has left the database, and what was not has stayed.
    let during = now(&stack).await;
    sqlx::raw_sql("UPDATE public.orders SET note = 'late' WHERE id = 1; COMMIT")
        .execute(&mut long)
        .await
        .unwrap();
    let (with, with_at) = (state_now(&stack).await, now(&stack).await);
    let last = export(&stack).await;
    assert_eq!((&last["record_count"], &last["transactions"]), (&json!(2), &json!(1)), "{last}");
    assert_same(&without, &state_at(&stack, &full, without_at).await);
    assert_same(&with, &state_at(&stack, &full, with_at).await);
    let changes = changes_of(&stack, &plan(&stack, &full, during).await.unwrap()).await.unwrap();
    let long_ones = changes
        .iter()
        .filter(|change| matches!(&change.action, Action::Put { row } if row.starts_with("(1,")));
    assert_eq!(long_ones.count(), 0, "it had not committed");
    export(&stack).await;
    assert_eq!(rows_waiting(&stack).await, 0);
    succeed(&stack, "verify", json!({"action": "changes"})).await;
}

#[tokio::test]
async fn the_last_transaction_to_begin_is_open_over_exports_and_loses_nothing() {
    // A server of its own: transactions of others, in whatever database, would hide what this is about.
    let stack = changes_stack().durable(true).start().await.unwrap();
    execute(&stack.database_url, ORDERS).await;
    let full = base(&stack).await;
    let mut long = PgConnection::connect(&stack.database_url).await.unwrap();
    // No transaction that began later has ended when the next snapshot is taken: its xmax is this one's id.
    sqlx::raw_sql("BEGIN; INSERT INTO public.orders VALUES (1, 'first')").execute(&mut long).await.unwrap();
    for _ in 0..3 {
        export(&stack).await;
    }
    sqlx::raw_sql("INSERT INTO public.orders VALUES (2, 'second'); COMMIT").execute(&mut long).await.unwrap();
    let (both, at) = (state_now(&stack).await, now(&stack).await);
    let last = export(&stack).await;
    assert_eq!((&last["record_count"], &last["transactions"]), (&json!(2), &json!(1)), "{last}");
    assert_same(&both, &state_at(&stack, &full, at).await);
    export(&stack).await;
    assert_eq!(rows_waiting(&stack).await, 0);
}

#[tokio::test]
async fn changes_stay_until_they_are_exported_and_the_window_has_passed() {
    let stack = archive_stack().env("backup", "BACKUP_CHANGES_KEEP_HOURS", "1").start().await.unwrap();
    execute(&stack.database_url, ORDERS).await;
    base(&stack).await;
    execute(&stack.database_url, "INSERT INTO public.orders VALUES (1), (2)").await;
    export(&stack).await;
    export(&stack).await;
    assert_eq!(rows_waiting(&stack).await, 2);
    let age = "UPDATE recoup.change_segments SET taken_at = taken_at - interval '2 hours'";
    execute(&stack.database_url, "INSERT INTO public.orders VALUES (3)").await;
    execute(&stack.database_url, age).await;
    let exported = export(&stack).await;
    assert_eq!(exported["rows_removed"], 2, "{exported}");
    assert_eq!(rows_waiting(&stack).await, 1, "it was exported a moment ago");
}

#[tokio::test]
async fn a_run_that_died_loses_and_doubles_nothing() {
    let stack = changes_stack().start().await.unwrap();
    execute(&stack.database_url, ORDERS).await;
    let full = base(&stack).await;
    execute(&stack.database_url, "INSERT INTO public.orders VALUES (1, 'a')").await;
    let exported = export(&stack).await;
    // It died after the manifest was stored, and before it could say so.
    execute(&stack.database_url, "UPDATE recoup.change_segments SET status = 'pending'").await;
    execute(&stack.database_url, "INSERT INTO public.orders VALUES (2, 'b')").await;
    let next = export(&stack).await;
    assert_eq!((chain_of(&next), &next["record_count"]), (chain_of(&exported), &json!(1)), "{next}");
    // It died before the manifest was stored: what it wrote is no segment.
    let died = next["segment_id"].as_str().unwrap().replace("/0000000002-", "/0000000003-");
    let objects = stack.s3.list("v1/changes/").await.unwrap();
    let changes = objects.iter().rfind(|object| object.key.contains("/changes/")).unwrap();
    let bytes = stack.s3.read(&changes.key).await.unwrap();
    stack.s3.write(&format!("v1/changes/{died}/changes/00000.copy.zst.age"), bytes).await.unwrap();
    execute(
        &stack.database_url,
        &format!(
            "INSERT INTO recoup.change_segments SELECT '{died}', chain, 3, 'pending', snapshot, taken_at, last_id,
                content_sha256, row_count, file_size_bytes, database, definitions
            FROM recoup.change_segments WHERE sequence = 2"
        ),
    )
    .await;
    execute(&stack.database_url, "UPDATE public.orders SET note = note || '!'").await;
    let again = export(&stack).await;
    assert_eq!((&again["chain_began"], &again["record_count"]), (&Value::Null, &json!(2)), "{again}");
    assert_ne!(again["segment_id"], died);
    assert_eq!(chain_of(&again), chain_of(&exported));
    let (expected, at) = (state_now(&stack).await, now(&stack).await);
    export(&stack).await;
    assert_same(&expected, &state_at(&stack, &full, at).await);
    succeed(&stack, "verify", json!({"action": "changes"})).await;
}

#[tokio::test]
async fn a_database_that_lost_its_end_or_is_a_copy_begins_a_history_of_its_own() {
    let stack = changes_stack().start().await.unwrap();
    execute(&stack.database_url, ORDERS).await;
    let full = base(&stack).await;
    execute(&stack.database_url, "INSERT INTO public.orders VALUES (1, 'a')").await;
    let (expected, before) = (state_now(&stack).await, now(&stack).await);
    let first = export(&stack).await;
    execute(&stack.database_url, "INSERT INTO public.orders VALUES (2, 'b')").await;
    export(&stack).await;

    // A failover to a standby that had not heard of the last segment.
    execute(&stack.database_url, "DELETE FROM recoup.change_segments WHERE sequence = 2").await;
    // Histories follow each other by the second in which they began.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let began = export(&stack).await;
    let reason = began["chain_began"].as_str().unwrap();
    assert!(reason.contains("does not know"), "{began}");
    assert_ne!(chain_of(&began), chain_of(&first));
    // Replay never goes from one history into the other.
    let beyond = now(&stack).await;
    export(&stack).await;
    let error = plan(&stack, &full, beyond).await.expect_err("another history");
    assert!(
        matches!(&error, ChangesError::Gap { reason, .. } if reason.contains("another history")),
        "{error}"
    );
    assert_same(&expected, &state_at(&stack, &full, before).await);

    // A copy that something else than recoup made, with all that the tables hold.
    let copy = target("copy");
    execute(&stack.database_url, "INSERT INTO public.orders VALUES (3, 'c')").await;
    stack.pool.close().await;
    let original = stack.database_url.rsplit('/').next().unwrap();
    for _ in 0..50 {
        let mut connection = PgConnection::connect(stack.postgres.url()).await.unwrap();
        let sql = format!("CREATE DATABASE \"{copy}\" TEMPLATE \"{original}\"");
        if sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let url = stack.postgres.url_of(&copy);
    let secret = stack.secrets.get("database").await.unwrap();
    stack.secrets.put("database", &json!({"url": url})).await.unwrap();
    let fresh = succeed(&stack, "backup", json!({"backup_type": "changes"})).await;
    stack.secrets.put("database", &secret).await.unwrap();
    drop_database(&stack, &copy).await;
    assert!(fresh["chain_began"].as_str().unwrap().contains("is a copy"), "{fresh}");
    let back = export(&stack).await;
    assert_eq!((chain_of(&back), &back["record_count"]), (chain_of(&began), &json!(1)), "{back}");
}

#[tokio::test]
async fn a_restored_database_holds_no_changes_and_a_full_backup_is_in_a_chain() {
    let stack = changes_stack().start().await.unwrap();
    execute(&stack.database_url, ORDERS).await;
    base(&stack).await;
    execute(&stack.database_url, "INSERT INTO public.orders VALUES (1, 'a')").await;
    let last = export(&stack).await;
    execute(&stack.database_url, "INSERT INTO public.orders VALUES (2, 'b')").await;
    let full = id_of(&full_backup(&stack).await);
    let backup = recoup::archive::reading::Backup::open(super::apply::store(&stack), full.parse().unwrap());
    let link = backup.await.unwrap().manifest.changes.unwrap();
    assert_eq!(link.segment_id, last["segment_id"].as_str().unwrap());
    let (restored, copy) = crate::archive_stack::restore_copy(&stack, &full).await;
    for table in ["row_changes", "change_segments"] {
        let rows = crate::archive_stack::rows_where(&copy, &format!("recoup.{table}"), "true").await;
        assert_eq!(rows, Vec::<String>::new(), "{table}");
    }
    crate::archive_stack::drop_copy(&stack, &restored).await;
}
