//! What each version added, through the functions; damage, sets and the rules for rows on each.

use serde_json::json;
use stack::postgres::Major;

use crate::archive_stack::{
    archive_stack, assert_same_dump, drop_copy, dump, execute, fail, restore_copy, succeed,
};
use crate::backup_kinds::each_set_comes_back;
use crate::corruption::backed_up;
use crate::support::eager;
use crate::verify_database::{each_rule_names_its_row, sales_of_a_shop};

/// A backup of what `added` makes is found whole, found damaged in each of its objects, and restored as it was.
async fn what_a_version_added_comes_back(major: Major, added: &str) {
    let stack = archive_stack().major(major).start().await.unwrap();
    execute(&stack.database_url, added).await;
    // Recording a run changes these tables.
    execute(&stack.database_url, "DROP TABLE recoup.backups, recoup.verifications CASCADE").await;
    let (backup_id, keys) = backed_up(&stack, "copy").await;
    let before = dump(&stack, &stack.database_url).await;

    for object in &keys {
        let key = format!("v1/backups/{backup_id}/{object}");
        let middle = stack.s3.read(&key).await.unwrap().len() / 2;
        stack.s3.flip_byte(&key, middle).await.unwrap();
        let (error_type, message) =
            fail(&stack, "verify", json!({"action": "full", "backup_id": backup_id})).await;
        stack.s3.flip_byte(&key, middle).await.unwrap();
        assert_eq!(error_type, "BackupDamaged", "{object}: {message}");
        assert!(message.contains(object), "{object}: {message}");
    }
    succeed(&stack, "verify", json!({"action": "full", "backup_id": backup_id})).await;
    let (restored, url) = restore_copy(&stack, &backup_id).await;
    assert_eq!(restored["difference_to_production"]["result"], "equal", "{restored}");
    assert_same_dump(&before, &dump(&stack, &url).await);
    drop_copy(&stack, &restored).await;
}

#[tokio::test]
async fn what_14_has_comes_back_through_the_functions() {
    what_a_version_added_comes_back(Major::V14, include_str!("../schemas/icu_and_extensions.sql")).await;
}

#[tokio::test]
async fn what_15_added_comes_back_through_the_functions() {
    what_a_version_added_comes_back(Major::V15, include_str!("../schemas/since_15.sql")).await;
}

#[tokio::test]
async fn what_16_added_comes_back_through_the_functions() {
    what_a_version_added_comes_back(Major::V16, include_str!("../schemas/since_16.sql")).await;
}

#[tokio::test]
async fn what_17_added_comes_back_through_the_functions() {
    what_a_version_added_comes_back(Major::V17, include_str!("../schemas/since_17.sql")).await;
}

#[tokio::test]
async fn what_18_added_comes_back_through_the_functions() {
    what_a_version_added_comes_back(Major::V18, include_str!("../schemas/since_18.sql")).await;
}

/// A shop sells through the webhook; its sets come back, and each rule finds what breaks it.
async fn a_shops_sets_and_rules(major: Major) {
    let stack = eager().major(major).start().await.unwrap();
    sales_of_a_shop(&stack).await;
    each_set_comes_back(&stack).await;
    each_rule_names_its_row(&stack).await;
}

#[tokio::test]
async fn a_shops_sets_and_rules_on_14() {
    a_shops_sets_and_rules(Major::V14).await;
}

#[tokio::test]
async fn a_shops_sets_and_rules_on_16() {
    a_shops_sets_and_rules(Major::V16).await;
}

#[tokio::test]
async fn a_shops_sets_and_rules_on_17() {
    a_shops_sets_and_rules(Major::V17).await;
}

#[tokio::test]
async fn a_shops_sets_and_rules_on_18() {
    a_shops_sets_and_rules(Major::V18).await;
}
