//! Prunes that are killed half way, that run at once, and what a run that died left behind.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::old_backups::{full, ids, plant_in};
use crate::archive_stack::{archive_stack, full_backup, gate_before_store, succeed};

fn prune() -> Value {
    json!({"action": "prune", "dry_run": false, "actor": "schedule", "reason": "daily"})
}

#[tokio::test]
async fn a_prune_that_is_killed_leaves_no_backup_that_looks_whole() {
    let stack = archive_stack().start().await.unwrap();
    let (first, second) = (plant_in(&stack, full(300, 30)).await, plant_in(&stack, full(200, 30)).await);
    plant_in(&stack, full(100, 30)).await;
    full_backup(&stack).await;
    let gate = gate_before_store(&stack);
    // The manifest goes by itself, the rest in one request.
    gate.hold(|method, uri| {
        method == Method::POST && uri.query().is_some_and(|query| query.contains("delete"))
    });

    let kill = async {
        gate.until_waiting(1).await;
        stack.lambda.kill("backup").unwrap();
    };
    let (killed, ()) = tokio::join!(stack.invoke("backup", prune()), kill);

    assert!(killed.unwrap().function_error.is_some());
    gate.hold(|_, _| false);
    let list = succeed(&stack, "backup", json!({"action": "list"})).await;
    assert_eq!(list["incomplete"], json!([first]));
    assert_eq!(stack.s3.list(&format!("v1/backups/{first}/")).await.unwrap().len(), 3);
    assert!(ids(&list, "backups").contains(&second), "the next one was not begun");

    // S3 has them stored now: whoever looks can't tell them from a backup that is being written.
    let next = succeed(&stack, "backup", prune()).await;
    assert_eq!((ids(&next, "removed").len(), &next["incomplete"]), (1, &json!([first])));
    for object in stack.s3.list(&format!("v1/backups/{first}/")).await.unwrap() {
        stack.s3.backdate(&object.key, Duration::from_hours(25)).unwrap();
    }
    let last = succeed(&stack, "backup", prune()).await;
    assert_eq!(last["removed"][0]["why"], "no_manifest", "{last}");
    assert_eq!(stack.s3.list(&format!("v1/backups/{first}/")).await.unwrap(), []);
}

#[tokio::test]
async fn two_prunes_at_once_do_what_one_does() {
    let stack = archive_stack().start().await.unwrap();
    for days in [300, 250, 200, 60, 50, 20, 10, 2, 1] {
        plant_in(&stack, full(days, 30)).await;
    }
    let gate = gate_before_store(&stack);
    // Both have decided before either deletes.
    gate.hold(|method, _| method == Method::DELETE);
    let both = async {
        gate.until_waiting(2).await;
        gate.open();
    };

    let (one, other, ()) =
        tokio::join!(stack.invoke("backup", prune()), stack.invoke("backup", prune()), both);

    for reply in [one.unwrap(), other.unwrap()] {
        assert_eq!(reply.function_error, None, "{}", reply.payload);
    }
    let list = succeed(&stack, "backup", json!({"action": "list"})).await;
    assert_eq!((ids(&list, "backups").len(), &list["incomplete"]), (5, &json!([])));
}

#[tokio::test]
async fn a_recovery_point_that_is_made_meanwhile_is_kept_or_refused() {
    let stack = archive_stack().start().await.unwrap();
    for days in [300, 200, 50, 2] {
        plant_in(&stack, full(days, 30)).await;
    }
    let newest_of_the_old = plant_in(&stack, full(100, 30)).await;
    succeed(&stack, "backup", json!({"action": "rebuild"})).await;
    sqlx::query("update recoup.backups set completed_at = created_at").execute(&stack.pool).await.unwrap();
    let gate = gate_before_store(&stack);
    gate.hold(|method, _| method == Method::DELETE);
    let meanwhile = async {
        gate.until_waiting(1).await;
        let point =
            "select backup_id from recoup.create_recovery_point('late', at => now() - interval '90 days')";
        let made: Result<String, sqlx::Error> = sqlx::query_scalar(point).fetch_one(&stack.pool).await;
        gate.open();
        made
    };
    let mut request = prune();
    request["more_than_half"] = json!(true);

    let (pruned, made) = tokio::join!(stack.invoke("backup", request), meanwhile);

    let pruned = pruned.unwrap().payload;
    assert!(ids(&pruned, "removed").contains(&newest_of_the_old), "{pruned}");
    let refused = made.expect_err("what it needs was going").to_string();
    assert!(refused.contains("no full backup was complete"), "{refused}");
}
