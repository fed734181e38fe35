//! What no segment holds yet stays in the database, and what one holds and the database still has is in no other.

use http::Method;
use serde_json::json;
use sqlx::{Connection, PgConnection};

use super::apply::{
    assert_same, base, captured_orders, changes_of, changes_stack, export, now, plan, state_at, state_now,
};
use crate::archive_stack::{archive_stack, execute, gate_before_store, succeed};

#[tokio::test]
async fn what_is_committed_while_a_segment_is_stored_is_not_removed_with_it() {
    let stack = changes_stack().start().await.unwrap();
    captured_orders(&stack).await;
    let full = base(&stack).await;
    // Its change has the lower id, and the segment's snapshot does not see it.
    let mut late = PgConnection::connect(&stack.database_url).await.unwrap();
    sqlx::raw_sql("BEGIN; INSERT INTO public.orders VALUES (1)").execute(&mut late).await.unwrap();
    execute(&stack.database_url, "INSERT INTO public.orders VALUES (2)").await;
    let gate = gate_before_store(&stack);
    gate.hold(|method, uri| method == Method::PUT && uri.path().ends_with("/manifest.json"));
    let meanwhile = async {
        gate.until_waiting(1).await;
        sqlx::raw_sql("COMMIT").execute(&mut late).await.unwrap();
        gate.open();
    };

    let (exported, ()) = tokio::join!(export(&stack), meanwhile);

    assert_eq!((&exported["record_count"], &exported["rows_removed"]), (&1.into(), &1.into()), "{exported}");
    let (expected, at) = (state_now(&stack).await, now(&stack).await);
    let next = export(&stack).await;
    assert_eq!(next["record_count"], 1, "{next}");
    assert_same(&expected, &state_at(&stack, &full, at).await);
}

#[tokio::test]
async fn what_stays_for_the_keep_window_is_not_exported_again() {
    let stack = archive_stack().env("backup", "BACKUP_CHANGES_KEEP_HOURS", "1").start().await.unwrap();
    captured_orders(&stack).await;
    let full = base(&stack).await;
    // As long as it is open, each export looks at all ids since it began.
    let mut long = PgConnection::connect(&stack.database_url).await.unwrap();
    sqlx::raw_sql("BEGIN; INSERT INTO public.orders VALUES (1)").execute(&mut long).await.unwrap();
    for id in [2, 3] {
        execute(&stack.database_url, &format!("INSERT INTO public.orders VALUES ({id})")).await;
        let exported = export(&stack).await;
        assert_eq!(exported["record_count"], 1, "{id}: {exported}");
    }
    sqlx::raw_sql("COMMIT").execute(&mut long).await.unwrap();
    let at = now(&stack).await;
    let last = export(&stack).await;
    assert_eq!((&last["record_count"], &last["rows_removed"]), (&json!(1), &json!(0)), "{last}");
    assert_eq!(changes_of(&stack, &plan(&stack, &full, at).await.unwrap()).await.unwrap().len(), 3);
    succeed(&stack, "verify", json!({"action": "changes"})).await;
}
