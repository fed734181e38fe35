//! The views that tell an operator whether there are the backups that there have to be.

use serde_json::{Value, json};
use stack::Stack;

use crate::archive_stack::{archive_stack, execute, full_backup, id_of, succeed};

async fn view(stack: &Stack, sql: &'static str) -> Vec<Value> {
    sqlx::query_scalar(sql).fetch_all(&stack.pool).await.unwrap()
}

const HEALTH: &str = "SELECT jsonb_build_array(backup_type, expected, completed, failed, rpo_met)
    FROM recoup.backup_health_check ORDER BY backup_type";

#[tokio::test]
async fn the_health_check_counts_seven_days_and_holds_the_newest_against_its_rpo() {
    let stack = archive_stack().start().await.unwrap();
    assert_eq!(
        view(&stack, HEALTH).await,
        [
            json!(["full", 0, 0, 0, false]),
            json!(["orders", 0, 0, 0, false]),
            json!(["payments", 0, 0, 0, false]),
            json!(["tickets", 0, 0, 0, false]),
        ]
    );
    // In use for ten days: full every day up to yesterday, payments of the last three hours and none since one of
    // them, a window of orders, and tickets that failed today.
    execute(
        &stack.database_url,
        "UPDATE recoup.backup_expectations SET since = now() - interval '10 days';
        INSERT INTO recoup.backups (backup_id, backup_type, status, created_at, file_size_bytes, record_count, expires_at)
        SELECT 'full-' || i, 'full', 'completed', now() - i * interval '1 day' + interval '1 hour', 100 + i, i, now()
        FROM generate_series(1, 9) AS i;
        INSERT INTO recoup.backups (backup_id, backup_type, status, created_at)
        SELECT 'payments-' || i, 'payments', 'completed', now() - i * interval '61 minutes' FROM generate_series(2, 4) AS i;
        INSERT INTO recoup.backups (backup_id, backup_type, status, created_at, window_from, window_to)
        VALUES ('orders-1', 'orders', 'completed', now(), now() - interval '1 hour', now());
        INSERT INTO recoup.backups (backup_id, backup_type, status, created_at, error) VALUES
            ('tickets-1', 'tickets', 'completed', now() - interval '8 days', NULL),
            ('tickets-2', 'tickets', 'failed', now() - interval '2 hours', 'no room'),
            ('tickets-3', 'tickets', 'failed', now() - interval '1 hour', 'no way');",
    )
    .await;
    assert_eq!(
        view(&stack, HEALTH).await,
        [
            json!(["full", 7, 7, 0, true]),
            json!(["orders", 7, 0, 0, false]),
            json!(["payments", 168, 3, 0, false]),
            json!(["tickets", 7, 0, 2, false]),
        ]
    );
    let summary = view(
        &stack,
        "SELECT jsonb_build_array(backup_type, completed, completed_partial, failed, file_size_bytes, newest_backup_id, newest_record_count, last_error)
        FROM recoup.backup_status_summary ORDER BY backup_type",
    )
    .await;
    assert_eq!(
        summary,
        [
            json!(["full", 9, 0, 0, 945, "full-1", 1, null]),
            json!(["orders", 0, 1, 0, 0, null, null, null]),
            json!(["payments", 3, 0, 0, 0, "payments-2", null, null]),
            json!(["tickets", 1, 0, 2, 0, "tickets-1", null, "no way"]),
        ]
    );
    // An operator who promises less says so; a promise that no schedule could keep is refused.
    let change =
        "UPDATE recoup.backup_expectations SET every = '2 hours', rpo = $1 WHERE backup_type = 'payments'";
    let expect = |rpo: &'static str| {
        sqlx::query(sqlx::AssertSqlSafe(change.replace("$1", &format!("'{rpo}'")))).execute(&stack.pool)
    };
    expect("3 hours").await.unwrap();
    assert_eq!(view(&stack, HEALTH).await[2], json!(["payments", 84, 3, 0, true]));
    let refused = expect("1 hour").await.unwrap_err().to_string();
    assert!(refused.contains("backup_expectations_rpo"), "{refused}");
}

#[tokio::test]
async fn backups_that_are_made_are_what_the_health_check_sees() {
    let stack = archive_stack().start().await.unwrap();
    let full = full_backup(&stack).await;
    for kind in ["payments", "orders", "tickets"] {
        succeed(&stack, "backup", json!({"backup_type": kind})).await;
    }

    let met = view(&stack, "SELECT to_jsonb(bool_and(rpo_met)) FROM recoup.backup_health_check").await;
    let newest = view(
        &stack,
        "SELECT jsonb_build_array(newest_backup_id, newest_file_size_bytes) FROM recoup.backup_status_summary WHERE backup_type = 'full'",
    )
    .await;

    assert_eq!(met, [json!(true)]);
    assert_eq!(newest, [json!([id_of(&full), full["file_size_bytes"]])]);
}
