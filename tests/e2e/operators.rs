//! What an operator does at 3 a.m., with the real AWS CLI; and what Stripe's own library says of our signatures.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use stack::shop::Shop;
use stack::{Stack, place};
use tokio::process::Command;

use crate::support::{count, eager, failed, sell};

/// `aws lambda invoke`, as RUNBOOK.md has it; gives the CLI's own answer and the payload.
async fn aws_invoke(stack: &Stack, directory: &Path, function: &str, payload: &str) -> (Value, Value) {
    let reply = directory.join("reply.json");
    let output = aws(stack)
        .args(["lambda", "invoke", "--function-name", function, "--payload", payload])
        .arg(&reply)
        .output()
        .await
        .expect("the AWS CLI runs");
    let said = serde_json::from_slice(&successful(output).stdout).expect("the CLI answers in JSON");
    let payload = std::fs::read(reply).expect("a reply");
    (said, serde_json::from_slice(&payload).expect("the payload is JSON"))
}

fn aws(stack: &Stack) -> Command {
    let mut command = Command::new(place::venv_program("aws").expect("set up"));
    command.env_clear().envs(stack.environment());
    command
}

fn successful(output: Output) -> Output {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

#[tokio::test]
async fn the_aws_cli_invokes_every_function() {
    let stack = eager().start().await.expect("a stack");
    let mut shop = Shop::open(&stack.stripe, 1).expect("a shop");
    sell(&stack, &mut shop, 10).await;
    let directory = tempfile::tempdir().expect("a directory");
    let payloads = [
        ("backup", r#"{"backup_type":"full"}"#),
        ("verify", r#"{"action":"full","backup_id":"latest"}"#),
        ("restore", r#"{"action":"backup_restore","backup_id":"latest"}"#),
        ("reconcile", r#"{"action":"events"}"#),
        ("operate", r#"{"action":"replay_erasures"}"#),
        ("rotate", r#"{"action":"status"}"#),
    ];
    for (function, payload) in payloads {
        let (said, reply) = aws_invoke(&stack, directory.path(), function, payload).await;
        assert_eq!(
            (said["StatusCode"].as_u64(), said.get("FunctionError")),
            (Some(200), None),
            "{function}: {reply}"
        );
        assert!(reply.is_object(), "{function}: {reply}");
        if let Some(database) = reply["target_database"].as_str() {
            let admin = sqlx::PgPool::connect(stack.postgres.url()).await.expect("the server");
            let statement = format!("drop database \"{database}\" with (force)");
            sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&admin).await.expect("the copy is there");
        }
    }
    // The webhook is invoked by the gateway; its event is what the CLI sends here.
    let event = json!({
        "version": "2.0", "routeKey": "$default", "rawPath": "/health", "rawQueryString": "", "headers": {},
        "requestContext": {"http": {"method": "GET", "path": "/health", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1",
            "userAgent": "aws-cli"}, "accountId": "1", "apiId": "a", "domainName": "d", "domainPrefix": "d", "requestId": "r",
            "routeKey": "$default", "stage": "$default", "time": "21/Nov/2026:00:00:00 +0000", "timeEpoch": 1},
        "isBase64Encoded": false,
    });
    let (_, reply) = aws_invoke(&stack, directory.path(), "webhook", &event.to_string()).await;
    assert_eq!(reply["statusCode"], 200, "{reply}");
    let (said, reply) = aws_invoke(&stack, directory.path(), "backup", "{}").await;
    assert_eq!(said["FunctionError"], "Unhandled", "{said}");
    assert_eq!(reply["errorType"], "InvalidRequest", "{reply}");
}

#[tokio::test]
async fn a_wrong_payload_is_answered_with_what_is_accepted() {
    let stack = Stack::start().await.expect("a stack");
    for function in ["backup", "verify", "restore", "reconcile", "operate", "rotate"] {
        let wrong =
            [json!({}), json!(null), json!("x"), json!({"actoin": "full"}), json!({"action": 7}), json!([1])];
        for payload in wrong {
            let reply = stack.invoke(function, payload.clone()).await.expect("invoked");
            assert_eq!(failed(&reply), "InvalidRequest", "{function} {payload}");
            let message = reply.payload["errorMessage"].as_str().expect("a message");
            assert!(message.contains("Example: {"), "{function} {payload}: {message}");
        }
    }
    assert_eq!(count(&stack, "select count(*) from recoup.backups").await, 0);
}

#[tokio::test]
async fn a_missing_variable_is_named_in_the_reply() {
    let stack = Stack::builder()
        .env("backup", "BACKUP_BUCKET", "")
        .env("backup", "BACKUP_AGE_RECIPIENTS", "")
        .env("reconcile", "STRIPE_LIVEMODE", "perhaps")
        .env("webhook", "STRIPE_API_SECRET_ID", "")
        .start()
        .await
        .expect("a stack");
    let reply = stack.invoke("backup", json!({"backup_type": "full"})).await.expect("invoked");
    assert_eq!(failed(&reply), "ConfigurationInvalid");
    let message = reply.payload["errorMessage"].as_str().expect("a message");
    assert!(message.contains("BACKUP_BUCKET") && message.contains("BACKUP_AGE_RECIPIENTS"), "{message}");
    let reply = stack.invoke("reconcile", json!({"action": "events"})).await.expect("invoked");
    assert!(reply.payload["errorMessage"].as_str().expect("a message").contains("STRIPE_LIVEMODE"));
    let (status, answer) =
        crate::http::Http::new().send(http::Method::GET, &stack.health_url(), &[], b"").await;
    assert_eq!((status, answer["error"]["type"].as_str()), (503, Some("ConfigurationInvalid")));
}

#[tokio::test]
async fn stripes_own_library_signs_what_is_accepted_and_its_forgeries_are_refused() {
    let stack = Stack::builder().functions(["webhook"]).start().await.expect("a stack");
    let script = place::repository().join("tests/e2e/official_signatures.py");
    let output = Command::new(place::venv_program("python").expect("set up"))
        .arg(script)
        .args([stack.webhook_url(), stack.webhook_secret.clone()])
        .output()
        .await
        .expect("Python runs");
    let said = String::from_utf8(successful(output).stdout).expect("text");
    assert_eq!(said.trim(), "accepted 2, refused 4");
    assert_eq!(count(&stack, "select count(*) from recoup.webhook_events").await, 2);
}
