//! Backup, verify and restore through the functions on each version, and from one version to a newer one.

use serde_json::json;
use stack::postgres::{Major, Postgres};

use crate::archive_stack::{
    archive_stack, assert_same_dump, dump_with, every_kind_of_value, full_backup, id_of, succeed, target,
};
use crate::backup_windows::{a_full_window_comes_back, shop_of_november};
use crate::formats::every_format_comes_back;

async fn every_format_and_window_comes_back(major: Major) {
    let stack = archive_stack().major(major).start().await.unwrap();
    every_format_comes_back(&stack).await;
    let stack = archive_stack().major(major).start().await.unwrap();
    shop_of_november(&stack).await;
    for format in ["csv", "json"] {
        a_full_window_comes_back(&stack, format).await;
    }
}

#[tokio::test]
async fn every_format_and_window_comes_back_on_14() {
    every_format_and_window_comes_back(Major::V14).await;
}

#[tokio::test]
async fn every_format_and_window_comes_back_on_16() {
    every_format_and_window_comes_back(Major::V16).await;
}

#[tokio::test]
async fn every_format_and_window_comes_back_on_17() {
    every_format_and_window_comes_back(Major::V17).await;
}

#[tokio::test]
async fn every_format_and_window_comes_back_on_18() {
    every_format_and_window_comes_back(Major::V18).await;
}

/// Restores a backup made on `older` on the server of `newer`; `pg_dump` of the newest version compares the rows.
async fn a_backup_moves(older: Major, newer: Major) {
    let stack = archive_stack().major(older).start().await.unwrap();
    every_kind_of_value(&stack).await;
    let rows = ["--data-only"];
    let before = dump_with(&stack, &stack.database_url, &rows).await;
    let backup = full_backup(&stack).await;
    let server = Postgres::of(newer).await.unwrap();
    let there = server.empty_database().await.unwrap();
    stack.secrets.put("database", &json!({"url": there.url()})).await.unwrap();
    let copy = target("moved");
    let request = json!({"action": "backup_restore", "backup_id": id_of(&backup), "target_database": copy});

    let restored = succeed(&stack, "restore", request).await;

    assert!(restored["tables"].as_array().unwrap().iter().all(|table| table["digest_equal"] == true));
    let version =
        |dump: &str| dump.lines().find(|line| line.starts_with("-- Dumped from")).map(str::to_owned);
    let after = dump_with(&stack, &server.url_of(&copy), &rows).await;
    assert_ne!(version(&before), version(&after));
    // All that honestly differs between the two: the line that says which server was asked.
    let without = |dump: &str| {
        dump.lines().filter(|line| !line.starts_with("-- Dumped from")).collect::<Vec<_>>().join("\n")
    };
    assert_same_dump(&without(&before), &without(&after));
}

#[tokio::test]
async fn a_backup_of_15_is_restored_on_16_and_on_18() {
    a_backup_moves(Major::V15, Major::V16).await;
    a_backup_moves(Major::V15, Major::V18).await;
}

#[tokio::test]
async fn a_backup_of_16_is_restored_on_18() {
    a_backup_moves(Major::V16, Major::V18).await;
}
