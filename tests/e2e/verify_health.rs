//! How everything stands: one word, and for each part that is not ok what to do.

use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use stack::{Stack, StackBuilder};

use crate::support::{failed, succeeded};

fn builder() -> StackBuilder {
    Stack::builder().functions(["backup", "verify"])
}

async fn invoke(stack: &Stack, function: &str, payload: Value) -> Value {
    succeeded(stack.invoke(function, payload).await.unwrap())
}

async fn execute(stack: &Stack, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&stack.pool).await.unwrap();
}

/// The answer's body, whichever way it came: whole, or as the findings of `Unhealthy`.
async fn health(stack: &Stack) -> Value {
    let reply = stack.invoke("verify", json!({"action": "health"})).await.unwrap();
    if reply.function_error.is_none() {
        assert_ne!(reply.payload["status"], "failing");
        return reply.payload;
    }
    assert_eq!(failed(&reply), "Unhealthy", "{}", reply.payload);
    let message = reply.payload["errorMessage"].as_str().unwrap();
    let body: Value =
        serde_json::from_str(message.split_once(" Findings: ").expect("findings").1).expect("JSON");
    assert_eq!(body["status"], "failing");
    body
}

/// The parts that are not ok, and how they stand; each has a remedy.
fn not_ok(body: &Value) -> Vec<String> {
    let parts = body["parts"].as_object().unwrap().iter().filter(|(_, part)| part["status"] != "ok");
    parts
        .map(|(name, part)| {
            assert!(part["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()), "{name}: {part}");
            format!("{name} {}", part["status"].as_str().unwrap())
        })
        .collect()
}

/// A setup in which nothing is amiss.
async fn healthy() -> Stack {
    let stack = builder().start().await.unwrap();
    invoke(&stack, "backup", json!({"backup_type": "full"})).await;
    invoke(&stack, "backup", json!({"backup_type": "changes"})).await;
    for action in ["full", "drill", "changes", "database", "schema"] {
        invoke(&stack, "verify", json!({"action": action})).await;
    }
    execute(
        &stack,
        "insert into recoup.reconciliations (scope, window_from, window_to, dry_run, started_at, status, listed, missing,
            repaired, failed) values ('events', now(), now(), false, now(), 'completed', 0, 0, 0, 0)",
    )
    .await;
    stack
}

#[tokio::test]
async fn each_part_that_is_not_well_is_named_with_its_remedy() {
    let stack = healthy().await;
    let body = health(&stack).await;
    assert_eq!((body["status"].as_str(), not_ok(&body)), (Some("ok"), vec![]), "{body}");
    let parts = &body["parts"];
    assert_eq!(parts["backups"]["kinds"]["full"]["met"], true, "{parts}");
    assert_eq!(parts["encryption"]["method"], "age-x25519", "{parts}");
    assert!(parts["drill"]["recovery_seconds"].as_f64().unwrap() > 0.0, "{parts}");
    for secret in ["database", "backup_key", "stripe_api", "stripe_webhook"] {
        assert_eq!(parts["secrets"]["secrets"][secret]["age_days"], 0, "{parts}");
    }

    // What is done, what undoes it, and how health sees it.
    let event = |status: &str, next: &str| {
        format!(
            "insert into recoup.webhook_events (id, type, livemode, created, payload, source, status, next_attempt_at)
             values ('evt_1', 'x', false, now(), '{{}}', 'webhook', '{status}', {next})"
        )
    };
    let forget = "delete from recoup.webhook_events";
    let cases = [
        (event("failed", "now() + interval '1 minute'"), forget, vec![]),
        (event("failed", "now() - interval '1 hour'"), forget, vec!["events degraded"]),
        (event("dead", "null"), forget, vec!["events failing"]),
        (
            "insert into recoup.payments (id, needs_refetch) values ('pi_1', true)".to_owned(),
            "delete from recoup.payments",
            vec!["refetch degraded"],
        ),
        (
            "update recoup.reconciliations set finished_at = now() - interval '4 hours'".to_owned(),
            "update recoup.reconciliations set finished_at = now()",
            vec!["reconcile degraded"],
        ),
        (
            "update recoup.verifications set finished_at = now() - interval '9 days' where action = 'drill'"
                .to_owned(),
            "update recoup.verifications set finished_at = now() where action = 'drill'",
            vec!["drill degraded"],
        ),
        (
            "update recoup.verifications set status = 'failed' where action = 'drill'".to_owned(),
            "update recoup.verifications set status = 'passed' where action = 'drill'",
            vec!["drill failing"],
        ),
        (
            "update recoup.verifications set status = 'failed' where action = 'schema'".to_owned(),
            "update recoup.verifications set status = 'passed' where action = 'schema'",
            vec!["checks failing"],
        ),
        (
            "update recoup.verifications set finished_at = now() - interval '2 days' where action = 'full'"
                .to_owned(),
            "update recoup.verifications set finished_at = now() where action = 'full'",
            vec!["checks degraded"],
        ),
        (
            "alter table recoup.verifications rename to elsewhere".to_owned(),
            "alter table recoup.elsewhere rename to verifications",
            // A table of ours whose changes nobody captures, and none of those that are to be there.
            vec!["capture failing", "database failing"],
        ),
    ];
    for (change, undo, expected) in cases {
        execute(&stack, &change).await;
        assert_eq!(not_ok(&health(&stack).await), expected, "{change}");
        execute(&stack, undo).await;
    }
    assert_eq!(health(&stack).await["status"], "ok");
}

#[tokio::test]
async fn the_bucket_and_not_a_table_says_how_old_the_newest_backup_is() {
    let stack = healthy().await;
    // The table says that there is one, and the bucket has none.
    for object in stack.s3.list("v1/backups/").await.unwrap() {
        stack.s3.delete(&object.key).await.unwrap();
    }
    let body = health(&stack).await;
    assert_eq!(not_ok(&body), ["backups failing"], "{body}");
    assert_eq!(body["parts"]["backups"]["kinds"]["full"]["newest"], Value::Null);
}

#[tokio::test]
async fn plaintext_old_secrets_and_a_lost_database_are_said() {
    let stack = builder()
        .env("backup", "BACKUP_ENCRYPTION", "none")
        .env("backup", "BACKUP_AGE_RECIPIENTS", "")
        .env("verify", "BACKUP_RPO_HOURS", "full=26,payments=2")
        .start()
        .await
        .unwrap();
    invoke(&stack, "backup", json!({"backup_type": "full"})).await;
    let body = health(&stack).await;
    assert_eq!(body["parts"]["encryption"]["plaintext"], true, "{body}");
    assert!(not_ok(&body).contains(&"encryption degraded".to_owned()), "{body}");
    // A kind that is expected and never came.
    assert_eq!(body["parts"]["backups"]["kinds"]["payments"]["met"], false, "{body}");
    assert_eq!(body["parts"]["backups"]["kinds"]["full"]["met"], true, "{body}");

    stack.secrets.put("database", &json!({"url": "postgres://nobody@127.0.0.1:1/nowhere"})).await.unwrap();
    let body = health(&stack).await;
    assert_eq!(body["parts"]["database"]["error_type"], "DatabaseUnavailable", "{body}");
    assert_eq!(body["parts"]["encryption"]["plaintext"], true, "the bucket is seen all the same: {body}");
}

#[tokio::test]
async fn a_check_of_the_bucket_needs_no_database() {
    let stack = builder().start().await.unwrap();
    invoke(&stack, "backup", json!({"backup_type": "full"})).await;
    stack.secrets.put("database", &json!({"url": "postgres://nobody@127.0.0.1:1/nowhere"})).await.unwrap();
    for action in ["quick", "full"] {
        let reply = invoke(&stack, "verify", json!({"action": action, "backup_id": "latest"})).await;
        let warning = reply["warnings"][0].as_str().expect("a warning");
        assert!(warning.contains("not recorded"), "{warning}");
    }
}
