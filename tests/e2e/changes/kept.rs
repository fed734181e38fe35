//! What no segment holds yet stays in the database.

use http::Method;
use sqlx::{Connection, PgConnection};

use super::apply::{assert_same, base, changes_stack, export, now, state_at, state_now};
use crate::archive_stack::{execute, gate_before_store};

#[tokio::test]
async fn what_is_committed_while_a_segment_is_stored_is_not_removed_with_it() {
    let stack = changes_stack().start().await.unwrap();
    execute(
        &stack.database_url,
        "CREATE TABLE public.orders (id int PRIMARY KEY); SELECT recoup.capture_table('public.orders')",
    )
    .await;
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
