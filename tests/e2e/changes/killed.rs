//! Exports that are killed, or overtaken, while they store something.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use http::Method;
use serde_json::{Value, json};
use stack::Stack;

use super::apply::{assert_same, base, changes_of, changes_stack, export, now, plan, state_at, state_now};
use crate::archive_stack::{execute, fail, gate_before_store, succeed, texts};

const ORDERS: &str = "CREATE TABLE public.orders (id int PRIMARY KEY, note text);
    SELECT recoup.capture_table('public.orders')";

/// A transaction of two statements, so that its segment has every kind of object. Two changes.
async fn sell(stack: &Stack, id: usize) {
    let sql = format!(
        "BEGIN; INSERT INTO public.orders VALUES ({id}); UPDATE public.orders SET note = 'sold' WHERE id = {id}; COMMIT"
    );
    execute(&stack.database_url, &sql).await;
}

/// The manifests that the bucket has.
async fn manifests(stack: &Stack) -> Vec<String> {
    let objects = stack.s3.list("v1/changes/").await.unwrap();
    objects.into_iter().map(|object| object.key).filter(|key| key.ends_with("/manifest.json")).collect()
}

/// One chain leads to all that was sold, with each change once.
async fn nothing_is_lost_or_doubled(stack: &Stack, full: &str, sold: usize) {
    let (expected, at) = (state_now(stack).await, now(stack).await);
    let last = export(stack).await;
    assert_eq!(last["chain_began"], Value::Null, "{last}");
    let changes = changes_of(stack, &plan(stack, full, at).await.unwrap()).await.unwrap();
    let ids: BTreeSet<i64> = changes.iter().map(|change| change.id).collect();
    assert_eq!((changes.len(), ids.len()), (2 * sold, 2 * sold));
    assert_same(&expected, &state_at(stack, full, at).await);
    let checked = succeed(stack, "verify", json!({"action": "changes"})).await;
    assert_eq!((&checked["chains"], &checked["record_count"]), (&json!(1), &json!(2 * sold)), "{checked}");
}

#[tokio::test]
async fn killed_while_it_stores_an_object_it_leaves_no_segment() {
    let stack = changes_stack().start().await.unwrap();
    execute(&stack.database_url, ORDERS).await;
    let full = base(&stack).await;
    let gate = gate_before_store(&stack);
    let mut sold = 0;
    // What stands in the database by then: the row is written when the objects are stored, and before the manifest is.
    for (object, pending) in [("/changes/00000", 0), ("/transactions/00000", 0), ("/manifest.json", 1)] {
        let before = manifests(&stack).await;
        sold += 1;
        sell(&stack, sold).await;
        gate.hold(move |method, uri| method == Method::PUT && uri.path().contains(object));
        let kill = async {
            gate.until_waiting(sold).await;
            assert_eq!(stack.lambda.kill("backup").unwrap(), 1);
        };
        let (killed, ()) = tokio::join!(stack.invoke("backup", json!({"backup_type": "changes"})), kill);
        assert!(killed.unwrap().function_error.is_some(), "{object}");
        assert_eq!(manifests(&stack).await, before, "{object}");
        let rows = "SELECT segment_id FROM recoup.change_segments WHERE status = 'pending'";
        assert_eq!(texts(&stack.database_url, rows).await.len(), pending, "{object}");

        gate.hold(|_, _| false);
        let next = export(&stack).await;
        assert_eq!((&next["chain_began"], &next["record_count"]), (&Value::Null, &json!(2)), "{next}");
        assert_eq!(manifests(&stack).await.len(), before.len() + 1, "{object}");
    }
    nothing_is_lost_or_doubled(&stack, &full, sold).await;
}

#[tokio::test]
async fn a_manifest_that_stands_is_not_written_over() {
    let stack = changes_stack().start().await.unwrap();
    execute(&stack.database_url, ORDERS).await;
    base(&stack).await;
    sell(&stack, 1).await;
    let gate = gate_before_store(&stack);
    let asked: Arc<Mutex<Option<String>>> = Arc::default();
    let noted = Arc::clone(&asked);
    gate.hold(move |method, uri| {
        let is_manifest = method == Method::PUT && uri.path().ends_with("/manifest.json");
        if is_manifest {
            *noted.lock().unwrap() = Some(uri.path().to_owned());
        }
        is_manifest
    });
    let overtake = async {
        gate.until_waiting(1).await;
        let path = asked.lock().unwrap().take().unwrap();
        let key = path[path.find("v1/changes/").unwrap()..].to_owned();
        stack.s3.write(&key, b"another's".to_vec()).await.unwrap();
        gate.open();
        key
    };

    let (refused, key) = tokio::join!(fail(&stack, "backup", json!({"backup_type": "changes"})), overtake);

    assert_eq!(stack.s3.read(&key).await.unwrap(), b"another's".as_slice(), "{refused:?}");
}
