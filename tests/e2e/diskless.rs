//! No function needs a disk.

use serde_json::json;

use crate::archive_stack::{archive_stack, drop_database, full_backup, succeed, target};

#[tokio::test]
async fn backup_verify_and_restore_work_without_a_directory_for_temporary_files() {
    let mut builder = archive_stack();
    for function in ["backup", "verify", "restore"] {
        for variable in ["TMPDIR", "HOME"] {
            builder = builder.env(function, variable, "/no/such/directory");
        }
    }
    let stack = builder.start().await.unwrap();
    full_backup(&stack).await;
    succeed(&stack, "verify", json!({"action": "full", "backup_id": "latest"})).await;
    let copy = target("diskless");
    let request = json!({"action": "backup_restore", "backup_id": "latest", "target_database": copy});
    succeed(&stack, "restore", request).await;
    drop_database(&stack, &copy).await;
}
