//! Prunes that look like a mistake, or that nobody can vouch for.

use serde_json::{Value, json};

use super::old_backups::{Old, full, ids, plant_in};
use crate::archive_stack::{archive_stack, execute, fail, succeed};

fn prune(field: &str, value: Value) -> Value {
    json!({"action": "prune", "dry_run": false, "actor": "ada", "reason": "room", field: value})
}

#[tokio::test]
async fn a_prune_that_looks_like_a_mistake_is_refused() {
    let stack = archive_stack().start().await.unwrap();
    let set = plant_in(&stack, Old { kind: "payments", days: 30, kept_days: 7 }).await;
    plant_in(&stack, Old { kind: "payments", days: 29, kept_days: 7 }).await;

    let (error_type, message) = fail(&stack, "backup", prune("more_than_half", json!(true))).await;
    assert_eq!(error_type, "PruneRefused", "{message}");
    assert!(message.contains("no full backup would be left"), "{message}");

    for days in [100, 99, 98, 97] {
        plant_in(&stack, full(days, 7)).await;
    }
    let (error_type, message) = fail(&stack, "backup", prune("more_than_half", json!(false))).await;
    assert_eq!(error_type, "PruneRefused", "{message}");
    assert!(message.contains("4 of 6 backups"), "{message}");
    let shown = succeed(&stack, "backup", json!({"action": "prune"})).await;
    assert!(shown["refusal"].as_str().unwrap().contains("4 of 6 backups"), "{shown}");
    assert_eq!(stack.s3.list("v1/backups/").await.unwrap().len(), 6 * 4, "nothing went");
    let done = succeed(&stack, "backup", prune("more_than_half", json!(true))).await;
    assert_eq!(ids(&done, "removed").len(), 4);
    assert!(ids(&done, "removed").contains(&set));

    // One that was begun tomorrow: either its clock was wrong, or this one is.
    plant_in(&stack, full(-1, 90)).await;
    let (error_type, message) = fail(&stack, "backup", json!({"action": "prune"})).await;
    assert_eq!(error_type, "ClockSkew", "{message}");
    assert!(message.contains("was begun after the present"), "{message}");
}

#[tokio::test]
async fn without_the_database_nothing_goes_unless_that_is_said() {
    let stack = archive_stack().start().await.unwrap();
    for days in [300, 200, 100, 50, 30, 20, 3] {
        plant_in(&stack, full(days, 30)).await;
    }
    execute(&stack.database_url, "drop table recoup.recovery_points cascade").await;
    let (error_type, message) = fail(&stack, "backup", prune("more_than_half", json!(true))).await;
    assert_eq!(error_type, "DatabaseRefused", "{message}");
    assert!(message.contains("\"without_recovery_points\": true"), "{message}");

    // The table's absence does not keep what is done from the audit log.
    let half = prune("without_recovery_points", json!(true));
    let done = succeed(&stack, "backup", half.clone()).await;
    assert_eq!(
        done["warnings"],
        json!(["this store cannot list unfinished uploads: a lifecycle rule has to end them"])
    );
    assert_eq!(ids(&done, "removed").len(), 3, "{done}");
    let audited: i64 =
        sqlx::query_scalar("select count(*) from recoup.audit_log").fetch_one(&stack.pool).await.unwrap();
    assert_eq!(audited, 1);

    plant_in(&stack, full(250, 30)).await;
    let gone = stack.database_url.rsplit_once('/').unwrap().0.to_owned() + "/no_such_database";
    stack.secrets.put("database", &json!({"url": gone})).await.unwrap();
    let (error_type, message) = fail(&stack, "backup", json!({"action": "prune"})).await;
    assert_eq!(error_type, "DatabaseUnavailable", "{message}");
    assert!(message.contains("\"without_recovery_points\": true"), "{message}");
    let done = succeed(&stack, "backup", half).await;
    assert_eq!(ids(&done, "removed").len(), 1);
    let warned = done["warnings"][1].as_str().unwrap();
    assert!(warned.starts_with("the prune is not in recoup.audit_log"), "{warned}");
}
