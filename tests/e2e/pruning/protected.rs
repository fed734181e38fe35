//! What goes, what stays and why.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use super::old_backups::{Old, full, ids, plant_in, rules_of};
use crate::archive_stack::{archive_stack, execute, full_backup, id_of, succeed};

fn prune_for_real() -> Value {
    json!({"action": "prune", "dry_run": false, "actor": "ada", "reason": "room"})
}

#[tokio::test]
async fn what_has_expired_goes_and_what_is_needed_stays() {
    let stack = archive_stack().start().await.unwrap();
    let payments = |days| Old { kind: "payments", days, kept_days: 7 };
    let mut planted = Vec::new();
    for old in
        [full(300, 90), full(200, 90), full(100, 20), full(40, 20), full(30, 20), payments(9), payments(2)]
    {
        planted.push(plant_in(&stack, old).await);
    }
    let [oldest, at_point, gone, base, in_window, old_set, new_set] = planted.clone().try_into().unwrap();
    let made = id_of(&full_backup(&stack).await);
    // The cache is as the bucket is, so that the point finds its backup.
    succeed(&stack, "backup", json!({"action": "rebuild"})).await;
    // S3 has them stored now; the backup is complete since then.
    execute(&stack.database_url, "update recoup.backups set completed_at = created_at + interval '1 minute'")
        .await;
    execute(
        &stack.database_url,
        "select recoup.create_recovery_point('year-end', 'the books are closed', now() - interval '150 days')",
    )
    .await;

    let shown = succeed(&stack, "backup", json!({"action": "prune"})).await;

    let expected = BTreeSet::from([oldest, gone, old_set.clone()]);
    assert_eq!((&shown["dry_run"], &shown["refusal"]), (&json!(true), &json!(null)));
    assert_eq!(ids(&shown, "removed"), expected);
    assert_eq!(shown["bytes_freed"], 3 * 40);
    assert_eq!(rules_of(&shown, &at_point), ["recovery_point"]);
    assert_eq!(rules_of(&shown, &base), ["point_in_time_window"]);
    assert_eq!(rules_of(&shown, &in_window), ["point_in_time_window"]);
    assert_eq!(rules_of(&shown, &new_set), ["newest_of_its_type", "not_expired"]);
    assert_eq!(rules_of(&shown, &made), ["newest_of_its_type", "point_in_time_window", "not_expired"]);
    for id in &planted {
        assert_eq!(
            stack.s3.list(&format!("v1/backups/{id}/")).await.unwrap().len(),
            4,
            "{id} after a dry run"
        );
    }

    let done = succeed(&stack, "backup", prune_for_real()).await;

    assert_eq!(ids(&done, "removed"), expected);
    for id in &planted {
        let objects = stack.s3.list(&format!("v1/backups/{id}/")).await.unwrap().len();
        assert_eq!(objects, if expected.contains(id) { 0 } else { 4 }, "{id}");
    }
    let audit: Vec<(String, String, String, Value)> =
        sqlx::query_as("select actor, action, reason, before from recoup.audit_log where action = 'prune'")
            .fetch_all(&stack.pool)
            .await
            .unwrap();
    let [(actor, _, reason, before)] = audit.try_into().expect("one entry");
    assert_eq!((actor.as_str(), reason.as_str()), ("ada", "room"));
    assert_eq!(ids(&before, "removed"), expected);
    let marked: Vec<String> =
        sqlx::query_scalar("select backup_id from recoup.backups where status = 'pruned' order by 1")
            .fetch_all(&stack.pool)
            .await
            .unwrap();
    // Those that expired more than a month ago are forgotten.
    assert_eq!(marked, [old_set]);

    let again = succeed(&stack, "backup", prune_for_real()).await;

    assert_eq!((&again["removed"], &again["bytes_freed"]), (&json!([]), &json!(0)));
    let entries: i64 = sqlx::query_scalar("select count(*) from recoup.audit_log where action = 'prune'")
        .fetch_one(&stack.pool)
        .await
        .unwrap();
    assert_eq!(entries, 1, "a prune that removes nothing changes nothing");
    succeed(&stack, "verify", json!({"action": "full", "backup_id": made})).await;

    execute(&stack.database_url, "select recoup.drop_recovery_point('year-end', 'audited')").await;
    let after_the_point = succeed(&stack, "backup", prune_for_real()).await;
    assert_eq!(ids(&after_the_point, "removed"), BTreeSet::from([at_point]));
}

#[tokio::test]
async fn an_age_takes_what_has_not_expired_and_nothing_that_is_needed() {
    let stack = archive_stack().env("backup", "BACKUP_PITR_DAYS", "10").start().await.unwrap();
    let mut planted = Vec::new();
    for days in [80, 70, 60, 20, 15, 5, 1] {
        planted.push(plant_in(&stack, full(days, 365)).await);
    }

    let mut request = prune_for_real();
    request["older_than_days"] = json!(30);
    let done = succeed(&stack, "backup", request).await;

    assert_eq!(ids(&done, "removed"), planted[..3].iter().cloned().collect());
    assert!(done["removed"].as_array().unwrap().iter().all(|entry| entry["why"] == "older_than_days"));
    let mut request = prune_for_real();
    request["older_than_days"] = json!(1);
    let done = succeed(&stack, "backup", request).await;
    assert_eq!(ids(&done, "removed"), BTreeSet::from([planted[3].clone()]), "the base of the window stays");
}

#[tokio::test]
async fn a_recovery_point_is_made_only_where_it_can_be_kept() {
    let stack = archive_stack().start().await.unwrap();
    let mut connection = PgConnection::connect(&stack.database_url).await.unwrap();
    let mut make = async |sql: &'static str| {
        sqlx::query_scalar::<_, String>(sql).fetch_one(&mut connection).await.map_err(|error| {
            error.as_database_error().map(|error| error.message().to_owned()).unwrap_or_default()
        })
    };
    let point = "select backup_id from recoup.create_recovery_point('release-12', 'before it')";
    assert!(make(point).await.unwrap_err().contains("no full backup was complete"));
    let made = id_of(&full_backup(&stack).await);
    assert_eq!(make(point).await.unwrap(), made);
    assert!(make(point).await.unwrap_err().contains("recovery_points_key"));
    let future = "select backup_id from recoup.create_recovery_point('x', at => now() + interval '1 hour')";
    assert!(make(future).await.unwrap_err().contains("lies in the future"));
    let past = "select backup_id from recoup.create_recovery_point('x', at => now() - interval '1 hour')";
    assert!(make(past).await.unwrap_err().contains("no full backup was complete"));
    let none = "select backup_id from recoup.drop_recovery_point('y', 'mistaken')";
    assert!(make(none).await.unwrap_err().contains("there is none of this name"));
    let audited: Vec<String> = sqlx::query_scalar("select action || ': ' || subject from recoup.audit_log")
        .fetch_all(&stack.pool)
        .await
        .unwrap();
    assert_eq!(audited, ["create recovery point: recovery point release-12"]);
}
