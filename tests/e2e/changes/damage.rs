//! Damage is found and named, health says what a loss would cost, and prune leaves what is needed.

use serde_json::{Value, json};
use stack::Stack;
use time::{Duration, OffsetDateTime};

use super::apply::{base, captured_orders, changes_stack, export, now, plan};
use crate::archive_stack::{execute, fail, succeed};
use crate::pruning::old_backups::{self, plant_in};

async fn keys(stack: &Stack) -> Vec<String> {
    let objects = stack.s3.list("v1/changes/").await.unwrap();
    objects.into_iter().map(|object| object.key).collect()
}

#[tokio::test]
async fn one_changed_byte_a_missing_object_and_a_stranger_are_named() {
    let stack = changes_stack().start().await.unwrap();
    captured_orders(&stack).await;
    base(&stack).await;
    for id in [1, 2] {
        execute(
            &stack.database_url,
            &format!("BEGIN; INSERT INTO public.orders VALUES ({id}); DELETE FROM public.orders; COMMIT"),
        )
        .await;
        export(&stack).await;
    }
    let whole = succeed(&stack, "verify", json!({"action": "changes"})).await;
    assert_eq!((&whole["segments"], &whole["record_count"]), (&json!(3), &json!(4)), "{whole}");
    let keys = keys(&stack).await;
    // The first segment has its manifest alone; the others have changes and transactions.
    assert_eq!(keys.len(), 7, "{keys:?}");
    for key in &keys {
        let bytes = stack.s3.read(key).await.unwrap();
        for position in [0, bytes.len() / 2, bytes.len() - 1] {
            stack.s3.flip_byte(key, position).await.unwrap();
            let (error_type, message) = fail(&stack, "verify", json!({"action": "changes"})).await;
            assert_eq!(error_type, "ChangesBroken", "{key} {position}: {message}");
            let segment = key
                .strip_prefix("v1/changes/")
                .unwrap()
                .rsplitn(if key.ends_with("manifest.json") { 2 } else { 3 }, '/')
                .last()
                .unwrap();
            assert!(message.contains(segment), "{key} {position}: {message}");
            stack.s3.flip_byte(key, position).await.unwrap();
        }
        stack.s3.delete(key).await.unwrap();
        let checked = stack.invoke("verify", json!({"action": "changes"})).await.unwrap();
        // Without the first segment the chain begins later; without the last it ends earlier.
        let at_an_end =
            key == &keys[0] || key == keys.iter().rfind(|key| key.ends_with("manifest.json")).unwrap();
        assert_eq!(checked.function_error.is_none(), at_an_end, "{key}: {}", checked.payload);
        stack.s3.write(key, bytes).await.unwrap();
    }
    let stranger = keys[1].rsplit_once('/').unwrap().0.to_owned() + "/more";
    stack.s3.write(&stranger, b"x".to_vec()).await.unwrap();
    let (_, message) = fail(&stack, "verify", json!({"action": "changes"})).await;
    assert!(message.contains("does not belong"), "{message}");
}

/// The answer of `health`, whichever way it came.
async fn health(stack: &Stack) -> Value {
    let reply = stack.invoke("verify", json!({"action": "health"})).await.unwrap();
    match reply.function_error {
        None => reply.payload,
        Some(_) => {
            let message = reply.payload["errorMessage"].as_str().unwrap();
            serde_json::from_str(message.split_once(" Findings: ").unwrap().1).unwrap()
        }
    }
}

#[tokio::test]
async fn health_says_what_a_loss_would_cost_and_what_is_not_captured() {
    let stack = changes_stack().start().await.unwrap();
    let parts = health(&stack).await["parts"].clone();
    assert_eq!(
        (&parts["changes"]["status"], &parts["capture"]["status"]),
        (&json!("failing"), &json!("ok")),
        "{parts}"
    );
    export(&stack).await;
    execute(&stack.database_url, "CREATE TABLE public.lost (id int)").await;
    let parts = health(&stack).await["parts"].clone();
    assert_eq!(
        (&parts["changes"]["status"], &parts["capture"]["status"]),
        (&json!("ok"), &json!("degraded")),
        "{parts}"
    );
    assert!(parts["changes"]["worst_case_loss_seconds"].as_i64().unwrap() < 60, "{parts}");
    assert_eq!(parts["capture"]["not_captured"][0]["table"], "public.lost", "{parts}");
    execute(&stack.database_url, "ALTER TABLE recoup.orders DISABLE TRIGGER recoup_capture_insert").await;
    let parts = health(&stack).await["parts"].clone();
    assert_eq!(parts["capture"]["status"], "failing", "{parts}");
}

/// Puts an object of a segment of `days` ago into the bucket; gives its key, which tells its age.
async fn plant(stack: &Stack, days: i64, name: &str) -> String {
    let at = recoup::archive::names::key_timestamp(OffsetDateTime::now_utc() - Duration::days(days));
    let key = format!("v1/changes/20200101T000000Z-00000000/{:010}-{at}-00000001/{name}", 1000 - days);
    stack.s3.write(&key, b"x".to_vec()).await.unwrap();
    stack.s3.backdate(&key, std::time::Duration::from_secs(3 * 86400)).unwrap();
    key
}

#[tokio::test]
async fn prune_leaves_what_leads_from_a_backup_to_a_recovery_point() {
    let stack = changes_stack().env("backup", "BACKUP_PITR_DAYS", "1").start().await.unwrap();
    // The point needs the older one, the window the other.
    for days in [100, 5] {
        plant_in(&stack, old_backups::full(days, 20)).await;
    }
    base(&stack).await;
    succeed(&stack, "backup", json!({"action": "rebuild"})).await;
    execute(
        &stack.database_url,
        "UPDATE recoup.backups SET completed_at = created_at + interval '1 minute';
        SELECT recoup.create_recovery_point('books', 'closed', now() - interval '90 days')",
    )
    .await;
    let gone = plant(&stack, 120, "manifest.json").await;
    for days in [99, 95, 90, 30] {
        plant(&stack, days, "manifest.json").await;
    }
    let before = keys(&stack).await;
    let request = json!({"action": "prune", "dry_run": false, "actor": "ada", "reason": "room"});

    let pruned = succeed(&stack, "backup", request.clone()).await;

    assert_eq!((&pruned["changes"]["removed"], &pruned["removed"]), (&json!(1), &json!([])), "{pruned}");
    let kept: Vec<String> = before.into_iter().filter(|key| *key != gone).collect();
    assert_eq!(keys(&stack).await, kept);
    // Without the point nothing needs them.
    execute(&stack.database_url, "SELECT recoup.drop_recovery_point('books', 'audited')").await;
    let pruned = succeed(&stack, "backup", request).await;
    assert_eq!(pruned["changes"]["removed"], 4, "{pruned}");
}

#[tokio::test]
async fn prune_takes_segments_that_no_instant_needs_and_leaves_no_hole() {
    let stack = changes_stack().env("backup", "BACKUP_PITR_DAYS", "1").start().await.unwrap();
    captured_orders(&stack).await;
    let full = base(&stack).await;
    export(&stack).await;
    let names = keys(&stack).await;
    let chain = names[0].strip_prefix("v1/changes/").unwrap().split('/').next().unwrap().to_owned();
    for (days, name) in [
        (9, "manifest.json"),
        (8, "manifest.json"),
        (8, "changes/00000.copy.zst.age"),
        (7, "changes/00000.copy.zst.age"),
    ] {
        plant(&stack, days, name).await;
    }
    let dry = succeed(&stack, "backup", json!({"action": "prune"})).await;
    assert_eq!((&dry["changes"]["removed"], &dry["changes"]["kept"]), (&json!(3), &json!(2)), "{dry}");
    let request = json!({"action": "prune", "dry_run": false, "actor": "ada", "reason": "room"});
    let pruned = succeed(&stack, "backup", request).await;
    assert_eq!(pruned["changes"]["removed"], 3, "{pruned}");
    assert!(keys(&stack).await.iter().all(|key| key.contains(&chain)));
    let at = now(&stack).await;
    export(&stack).await;
    plan(&stack, &full, at).await.unwrap();
}
