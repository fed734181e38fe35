//! Captured, exported and replayed on each major version of Postgres.

use serde_json::json;
use stack::postgres::Major;

use super::apply::changes_stack;
use super::exact::{Captured, statements_come_back, values_come_back};
use crate::archive_stack::succeed;

/// Of the ways to write, the states after so many are compared: each needs a restore.
const EVERY: usize = 8;

async fn changes_come_back_on(major: Major) {
    let stack = changes_stack().major(major).start().await.unwrap();
    statements_come_back(&stack, EVERY, Captured::ByStatement).await;
    succeed(&stack, "verify", json!({"action": "changes"})).await;
    let stack = changes_stack().major(major).start().await.unwrap();
    values_come_back(&stack).await;
    succeed(&stack, "verify", json!({"action": "changes"})).await;
}

#[tokio::test]
async fn changes_come_back_on_14() {
    changes_come_back_on(Major::V14).await;
}

#[tokio::test]
async fn changes_come_back_on_16() {
    changes_come_back_on(Major::V16).await;
}

#[tokio::test]
async fn changes_come_back_on_17() {
    changes_come_back_on(Major::V17).await;
}

#[tokio::test]
async fn changes_come_back_on_18() {
    changes_come_back_on(Major::V18).await;
}
