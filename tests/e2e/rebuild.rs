//! `recoup.backups` is a cache: damage to it changes nothing, and the bucket fills it again.

use serde_json::{Value, json};
use stack::Stack;

use crate::archive_stack::{
    archive_stack, drop_database, execute, fail, full_backup, id_of, succeed, target,
};

async fn rebuild(stack: &Stack, dry_run: bool) -> Value {
    succeed(stack, "backup", json!({"action": "rebuild", "dry_run": dry_run})).await
}

/// What people query of it.
async fn rows(stack: &Stack) -> Vec<Value> {
    sqlx::query_scalar(
        "select to_jsonb(b) - '{completed_at,expires_at,heartbeat_at,progress_rows,progress_bytes,progress_percent}'::text[]
            || jsonb_build_object('expires_at', date_trunc('second', expires_at))
         from recoup.backups as b order by backup_id",
    )
    .fetch_all(&stack.pool)
    .await
    .unwrap()
}

/// What a person in need does, without the table.
async fn list_verify_and_restore(stack: &Stack, backup_id: &str, backups: usize) {
    let list = succeed(stack, "backup", json!({"action": "list"})).await;
    assert_eq!(list["backups"].as_array().unwrap().len(), backups);
    succeed(stack, "verify", json!({"action": "full", "backup_id": "latest"})).await;
    let copy = target("rebuild");
    let request = json!({"action": "backup_restore", "backup_id": backup_id, "target_database": copy});
    let restored = succeed(stack, "restore", request).await;
    drop_database(stack, &copy).await;
    assert_eq!(restored["status"], "completed");
}

#[tokio::test]
async fn damage_to_the_table_changes_nothing_and_rebuild_repairs_it() {
    let stack = archive_stack().start().await.unwrap();
    let (first, second) = (id_of(&full_backup(&stack).await), {
        let labelled = json!({"backup_type": "full", "label": "Größe 12"});
        id_of(&succeed(&stack, "backup", labelled).await)
    });
    let right = rows(&stack).await;
    let untouched = rebuild(&stack, false).await;
    assert_eq!((&untouched["unchanged"], rows(&stack).await), (&json!(2), right.clone()), "{untouched}");
    execute(
        &stack.database_url,
        &format!(
            "delete from recoup.backups where backup_id = '{first}';
            update recoup.backups set backup_type = 'payments', status = 'gone', label = null, record_count = -1,
                file_size_bytes = null, expires_at = 'infinity', error = 'nonsense';
            insert into recoup.backups (backup_id, backup_type, status, created_at) values
                ('not a backup', 'full', 'completed', 'infinity'),
                ('20200101T000000Z-full-00000001', 'full', 'completed', '2020-01-01'),
                ('20200102T000000Z-full-00000002', 'full', 'running', '2020-01-02');"
        ),
    )
    .await;
    let damaged = rows(&stack).await;
    list_verify_and_restore(&stack, &first, 2).await;
    let status = succeed(&stack, "backup", json!({"action": "status", "backup_id": second})).await;
    assert_eq!(status["status"], "completed", "{status}");

    let shown = rebuild(&stack, true).await;
    assert_eq!(rows(&stack).await, damaged, "a dry run writes nothing");
    let done = rebuild(&stack, false).await;

    for field in ["inserted", "corrected", "gone", "died"] {
        assert_eq!(shown[field], done[field], "{field}");
    }
    assert_eq!(done["inserted"], json!([first]));
    let columns = json!(["backup_type", "status", "label", "record_count", "file_size_bytes", "expires_at"]);
    assert_eq!(done["corrected"], json!([{"backup_id": second, "columns": columns}]));
    assert_eq!(done["gone"], json!(["20200101T000000Z-full-00000001", "not a backup"]));
    assert_eq!(done["died"], json!(["20200102T000000Z-full-00000002"]));
    let repaired: Vec<_> =
        rows(&stack).await.into_iter().filter(|row| row["status"] == "completed").collect();
    assert_eq!(repaired, right);
    assert_eq!(rebuild(&stack, false).await["unchanged"], 5);
}

#[tokio::test]
async fn a_table_that_was_dropped_is_missed_by_nobody_in_need() {
    let stack = archive_stack().start().await.unwrap();
    let first = id_of(&full_backup(&stack).await);
    execute(&stack.database_url, "drop table recoup.backups cascade").await;

    list_verify_and_restore(&stack, &first, 1).await;
    let made = full_backup(&stack).await;
    assert_eq!(made["warnings"].as_array().unwrap().len(), 1, "{made}");
    let status = succeed(&stack, "backup", json!({"action": "status", "backup_id": "latest"})).await;
    assert_eq!((&status["status"], id_of(&status)), (&json!("completed"), id_of(&made)));
    list_verify_and_restore(&stack, &id_of(&made), 2).await;
    let (error_type, message) = fail(&stack, "backup", json!({"action": "rebuild"})).await;
    assert_eq!(error_type, "DatabaseRefused");
    assert!(message.contains("create it again as 0004_running.sql"), "{message}");
}
