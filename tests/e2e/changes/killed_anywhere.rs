//! An export is killed in front of the messages that it exchanges with Postgres, one run after the other.

use std::collections::BTreeSet;

use serde_json::json;
use stack::Stack;
use stack::gate::{Count, Gate, Stop};

use super::apply::{base, changes_stack};
use super::killed::{ORDERS, manifests, nothing_is_lost_or_doubled, sell};
use crate::archive_stack::{execute, texts};

/// Far more messages than an export has.
const MESSAGES_MAX: u64 = 2_000;

/// Every so many messages: a statement and its answer are three at least, so that none is passed over.
const STEP: usize = 2;

/// What a run left of the segment that it had begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Left {
    /// Nothing in the database.
    Nothing,
    /// A row, and no manifest.
    Row,
    /// A row that does not know yet of its manifest.
    RowAndManifest,
    /// A segment.
    Segment,
}

/// What there is of the segment after the one that was the newest.
async fn left_after(stack: &Stack, newest: &str) -> Left {
    let row = "SELECT status || ' ' || segment_id FROM recoup.change_segments ORDER BY sequence DESC LIMIT 1";
    let row = texts(&stack.database_url, row).await.remove(0);
    let (status, id) = row.split_once(' ').unwrap();
    let stored = manifests(stack).await.iter().any(|key| key.contains(id));
    match (status, stored) {
        _ if id == newest => Left::Nothing,
        ("pending", false) => Left::Row,
        ("pending", true) => Left::RowAndManifest,
        _ => Left::Segment,
    }
}

/// The newest segment that has a manifest.
async fn newest(stack: &Stack) -> String {
    let key = manifests(stack).await.pop().unwrap();
    key.strip_prefix("v1/changes/").unwrap().strip_suffix("/manifest.json").unwrap().to_owned()
}

#[tokio::test]
async fn killed_at_any_message_it_loses_and_doubles_nothing() {
    let stack = changes_stack().start().await.unwrap();
    execute(&stack.database_url, ORDERS).await;
    let full = base(&stack).await;
    let gate = Gate::start(&stack.database_url).await.unwrap();
    stack.secrets.put("database", &json!({"url": gate.url()})).await.unwrap();
    let mut left = BTreeSet::new();
    let (mut sold, mut killed) = (0, 0);
    for at in (1..MESSAGES_MAX).step_by(STEP) {
        let before = newest(&stack).await;
        sold += 1;
        sell(&stack, sold).await;
        stack.lambda.kill("backup").unwrap();
        gate.empty().await;
        gate.arm(Count::FromConnecting, at, Stop::Hold);
        let exporting = stack.invoke("backup", json!({"backup_type": "changes"}));
        tokio::pin!(exporting);
        tokio::select! {
            biased;
            reply = &mut exporting => assert_eq!(reply.unwrap().function_error, None, "not killed at {at}"),
            _ = gate.stopped() => {
                stack.lambda.kill("backup").unwrap();
                // It may have answered just before.
                exporting.await.unwrap();
            }
        }
        let caught = gate.caught();
        gate.disarm();
        gate.cut();
        gate.empty().await;
        if caught.is_none() {
            break;
        }
        killed += 1;
        left.insert(left_after(&stack, &before).await);
    }
    let all = [Left::Nothing, Left::Row, Left::RowAndManifest, Left::Segment];
    assert!(all.iter().all(|one| left.contains(one)), "{left:?} after {killed} kills");
    nothing_is_lost_or_doubled(&stack, &full, sold).await;
}
