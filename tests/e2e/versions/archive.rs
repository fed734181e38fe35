//! Backup, verify and restore through the functions on each version, and from one version to a newer one.

use serde_json::json;
use stack::postgres::Major;

use super::{assert_same_but_for_public, moved_by_pg_dump, restored_on};
use crate::archive_stack::{archive_stack, every_kind_of_value, execute, full_backup, id_of};
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

/// Restores a backup made on `older` on the server of `newer`; `pg_dump` judges definitions and rows.
async fn a_backup_moves(older: Major, newer: Major) {
    let stack = archive_stack().major(older).start().await.unwrap();
    every_kind_of_value(&stack).await;
    execute(&stack.database_url, include_str!("../schemas/shop.sql")).await;
    let expected = moved_by_pg_dump(&stack, newer).await;
    let backup = full_backup(&stack).await;

    let (restored, found) = restored_on(&stack, newer, &id_of(&backup)).await;

    assert!(restored["tables"].as_array().unwrap().iter().all(|table| table["digest_equal"] == true));
    assert_eq!(restored["warnings"], json!([]));
    assert_same_but_for_public(&expected, &found);
}

#[tokio::test]
async fn a_backup_of_14_is_restored_on_18() {
    a_backup_moves(Major::V14, Major::V18).await;
}

#[tokio::test]
async fn a_backup_of_15_is_restored_on_16() {
    a_backup_moves(Major::V15, Major::V16).await;
}

#[tokio::test]
async fn a_backup_of_17_is_restored_on_18() {
    a_backup_moves(Major::V17, Major::V18).await;
}
