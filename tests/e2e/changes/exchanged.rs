//! A segment that is whole by itself and not the one that was exported.

use recoup::changes::{ChangesError, SegmentId, SegmentManifest};
use serde_json::json;

use super::apply::{base, captured_orders, changes_stack, export, now, plan};
use crate::archive_stack::{execute, fail, succeed};

#[tokio::test]
async fn a_segment_in_anothers_place_is_not_the_one_that_the_next_follows() {
    let stack = changes_stack().start().await.unwrap();
    captured_orders(&stack).await;
    let full = base(&stack).await;
    execute(&stack.database_url, "INSERT INTO public.orders VALUES (1)").await;
    let exported = export(&stack).await;
    execute(&stack.database_url, "INSERT INTO public.orders VALUES (2)").await;
    export(&stack).await;
    let at = now(&stack).await;
    export(&stack).await;
    plan(&stack, &full, at).await.unwrap();
    succeed(&stack, "verify", json!({"action": "changes"})).await;

    // Whoever may write to the bucket takes out what was exported, and puts a right checksum below.
    let id: SegmentId = exported["segment_id"].as_str().unwrap().parse().unwrap();
    let key = id.key("manifest.json");
    let mut manifest = SegmentManifest::from_bytes(&id, &stack.s3.read(&key).await.unwrap()).unwrap();
    for part in manifest.objects() {
        stack.s3.delete(&id.key(&part.key)).await.unwrap();
    }
    (manifest.changes, manifest.straddling) = (Vec::new(), Vec::new());
    (manifest.rows, manifest.transactions) = (0, 0);
    stack.s3.write(&key, manifest.to_bytes()).await.unwrap();

    let (error_type, message) = fail(&stack, "verify", json!({"action": "changes"})).await;
    assert!(error_type == "ChangesBroken" && message.contains("its checksum differs"), "{message}");
    let error = plan(&stack, &full, at).await.expect_err("what it held is missing");
    assert!(
        matches!(&error, ChangesError::Gap { reason, .. } if reason.contains("its checksum differs")),
        "{error}"
    );
}

#[tokio::test]
async fn a_second_segment_in_one_place_is_another_history() {
    let stack = changes_stack().start().await.unwrap();
    let full = base(&stack).await;
    let exported = export(&stack).await;
    let at = now(&stack).await;
    export(&stack).await;
    plan(&stack, &full, at).await.unwrap();

    // A run that was given up long ago, whose manifest arrives after another run has taken its place.
    let id: SegmentId = exported["segment_id"].as_str().unwrap().parse().unwrap();
    let bytes = stack.s3.read(&id.key("manifest.json")).await.unwrap();
    let mut manifest = SegmentManifest::from_bytes(&id, &bytes).unwrap();
    let rival = SegmentId::new(id.chain().clone(), id.sequence(), id.taken_at(), 1);
    manifest.segment_id = rival.to_string();
    stack.s3.write(&rival.key("manifest.json"), manifest.to_bytes()).await.unwrap();

    let (error_type, message) = fail(&stack, "verify", json!({"action": "changes"})).await;
    assert!(error_type == "ChangesBroken", "{message}");
    let error = plan(&stack, &full, at).await.expect_err("one of them is the other's");
    assert!(
        matches!(&error, ChangesError::Gap { reason, .. } if reason.contains("two histories")),
        "{error}"
    );
}
