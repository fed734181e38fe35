//! A full backup names a segment only of the chain that its own database goes on with.

use std::sync::atomic::{AtomicBool, Ordering};

use http::Method;
use recoup::archive::reading::Backup;
use recoup::changes::ChangesError;
use stack::Stack;

use super::apply::{assert_same, base, changes_stack, export, now, plan, state_at, state_now, store};
use crate::archive_stack::{execute, full_backup, gate_before_store, id_of};

const ORDERS: &str = "CREATE TABLE public.orders (id int PRIMARY KEY);
    SELECT recoup.capture_table('public.orders')";

/// The segment that a full backup names.
async fn link_of(stack: &Stack, full: &str) -> Option<String> {
    let backup = Backup::open(store(stack), full.parse().unwrap()).await.unwrap();
    backup.manifest.changes.map(|link| link.segment_id)
}

#[tokio::test]
async fn a_copy_of_a_disk_is_not_linked_to_the_chain_that_the_original_goes_on_with() {
    let stack = changes_stack().start().await.unwrap();
    execute(&stack.database_url, ORDERS).await;
    base(&stack).await;
    execute(&stack.database_url, "INSERT INTO public.orders VALUES (1)").await;
    let copied = export(&stack).await;
    let before = id_of(&full_backup(&stack).await);
    assert_eq!(link_of(&stack, &before).await.as_deref(), copied["segment_id"].as_str());

    // The original goes on. A copy has its identity, and knows of no more than there was when it was made.
    execute(&stack.database_url, "INSERT INTO public.orders VALUES (2)").await;
    export(&stack).await;
    execute(
        &stack.database_url,
        "DELETE FROM recoup.change_segments WHERE sequence = 2; DELETE FROM public.orders WHERE id = 2",
    )
    .await;
    let of_copy = id_of(&full_backup(&stack).await);
    assert_eq!(link_of(&stack, &of_copy).await, None, "what follows is another database's");
    let at = now(&stack).await;
    let error = plan(&stack, &of_copy, at).await.expect_err("no changes lead on from it");
    assert!(
        matches!(&error, ChangesError::Gap { reason, .. } if reason.contains("no changes were exported")),
        "{error}"
    );
}

#[tokio::test]
async fn a_full_backup_during_which_its_own_changes_are_exported_stays_in_the_chain() {
    let stack = changes_stack().start().await.unwrap();
    execute(&stack.database_url, ORDERS).await;
    let first = export(&stack).await;
    let gate = gate_before_store(&stack);
    // The full backup asks what follows the segment that it names; the export, which asks too, finds the way free.
    let asked = AtomicBool::new(false);
    gate.hold(move |method, uri| {
        method == Method::GET
            && uri.query().is_some_and(|query| query.contains("0000000001-"))
            && !asked.swap(true, Ordering::SeqCst)
    });
    let meanwhile = async {
        gate.until_waiting(1).await;
        execute(&stack.database_url, "INSERT INTO public.orders VALUES (1)").await;
        let exported = export(&stack).await;
        gate.open();
        exported
    };
    let (full, exported) = tokio::join!(full_backup(&stack), meanwhile);
    let full = id_of(&full);
    assert_eq!(exported["record_count"], 1, "{exported}");
    assert_eq!(link_of(&stack, &full).await.as_deref(), first["segment_id"].as_str());
    let (expected, at) = (state_now(&stack).await, now(&stack).await);
    export(&stack).await;
    assert_same(&expected, &state_at(&stack, &full, at).await);
}
