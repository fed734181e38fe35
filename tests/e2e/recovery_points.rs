//! Instants that stay restorable, by command: named, audited under who asked for them, and kept by `prune`.

use serde_json::{Value, json};

use crate::archive_stack::{execute, fail, full_backup, id_of, succeed, texts};
use crate::support::eager;

fn by_ada(mut payload: Value) -> Value {
    let fields = payload.as_object_mut().unwrap();
    fields.extend(
        [("dry_run", json!(false)), ("actor", json!("ada")), ("reason", json!("the schema changes"))]
            .map(|(name, value)| (name.to_owned(), value)),
    );
    payload
}

#[tokio::test]
async fn a_recovery_point_is_created_and_dropped_by_command() {
    let stack = eager().functions(["backup", "restore", "operate"]).start().await.unwrap();
    let create = json!({"action": "create_recovery_point", "name": "before-release-12"});
    let drop_it = json!({"action": "drop_recovery_point", "name": "before-release-12"});
    assert_eq!(fail(&stack, "operate", create.clone()).await.0, "NoFullBackup");
    assert_eq!(fail(&stack, "operate", by_ada(drop_it.clone())).await.0, "RecoveryPointNotFound");
    let backup = id_of(&full_backup(&stack).await);
    let points = "select name || ' ' || description from recoup.recovery_points";

    let dry = succeed(&stack, "operate", create.clone()).await;
    assert_eq!(
        (&dry["status"], &dry["recovery_point"]["backup_id"]),
        (&json!("possible"), &json!(backup)),
        "{dry}"
    );
    assert!(texts(&stack.database_url, points).await.is_empty());
    let created = succeed(&stack, "operate", by_ada(create.clone())).await;
    assert_eq!((&created["status"], &created["dry_run"]), (&json!("created"), &json!(false)), "{created}");
    assert_eq!(texts(&stack.database_url, points).await, ["before-release-12 the schema changes"]);
    assert_eq!(fail(&stack, "operate", by_ada(create)).await.0, "RecoveryPointExists");
    let future = json!({"action": "create_recovery_point", "name": "later", "at": "2999-01-01T00:00:00Z"});
    assert_eq!(fail(&stack, "operate", future).await.0, "InvalidRequest");
    let early =
        json!({"action": "create_recovery_point", "name": "early", "at": "2020-01-01T00:00:00+01:00"});
    assert_eq!(fail(&stack, "operate", early).await.0, "NoFullBackup");

    // The instant is restored by its name.
    let request = json!({"action": "point_in_time", "recovery_point": "before-release-12", "dry_run": true});
    let (error_type, message) = fail(&stack, "restore", request).await;
    assert!(error_type.starts_with("Instant"), "no changes were exported yet: {message}");

    assert_eq!(succeed(&stack, "operate", by_ada(drop_it)).await["status"], "dropped");
    assert!(texts(&stack.database_url, points).await.is_empty());
    execute(&stack.database_url, "select recoup.create_recovery_point('by-hand', 'in SQL')").await;
    let audited = "select actor || ': ' || action || ': ' || reason from recoup.audit_log order by id";
    let user = texts(&stack.database_url, "select session_user::text").await.remove(0);
    assert_eq!(
        texts(&stack.database_url, audited).await,
        [
            "ada: create recovery point: the schema changes".to_owned(),
            "ada: drop recovery point: the schema changes".to_owned(),
            format!("{user}: create recovery point: in SQL"),
        ]
    );
}
