//! Least privilege: what a function's role in infra/template.yaml does not allow, its credentials do not get. That it
//! allows what the function needs is what all other tests show; `tests/check/run_tests.py` misses what none of them used.

use aws_sdk_s3::config::Credentials;
use serde_json::json;
use stack::Stack;
use stack::iam::Denied;
use stack::lambda::FunctionConfig;

use crate::archive_stack::{archive_stack, fail, full_backup, id_of, succeed};

/// S3 with the credentials of a function.
fn s3_as(stack: &Stack, function: &str) -> aws_sdk_s3::Client {
    let key = stack.key_of(function);
    let credentials = Credentials::new(key.id, key.secret, None, None, "a test");
    let config = stack.s3.client().config().to_builder().credentials_provider(credentials);
    aws_sdk_s3::Client::from_conf(config.build())
}

/// Secrets Manager with the credentials of a function.
fn secrets_as(stack: &Stack, function: &str) -> aws_sdk_secretsmanager::Client {
    let key = stack.key_of(function);
    let credentials =
        aws_sdk_secretsmanager::config::Credentials::new(key.id, key.secret, None, None, "a test");
    let config = stack.secrets.client().config().to_builder().credentials_provider(credentials);
    aws_sdk_secretsmanager::Client::from_conf(config.endpoint_url(stack.secrets.endpoint()).build())
}

fn actions(denied: &[Denied]) -> Vec<&str> {
    denied.iter().map(|denied| denied.action.as_str()).collect()
}

#[tokio::test]
async fn backup_reads_neither_what_it_wrote_nor_the_key_that_opens_it() {
    let stack = archive_stack().start().await.unwrap();
    let id = id_of(&full_backup(&stack).await);
    let key = format!("v1/backups/{id}/manifest.json");
    let (bucket, s3) = (stack.s3.bucket(), s3_as(&stack, "backup"));

    let read = s3.get_object().bucket(bucket).key(&key).send().await.unwrap_err();
    s3.head_object().bucket(bucket).key(&key).send().await.unwrap_err();
    s3.delete_object().bucket(bucket).key(&key).version_id("1").send().await.unwrap_err();
    s3.put_object().bucket(bucket).key("v1/reports/x").body(b"x".to_vec().into()).send().await.unwrap_err();
    s3.list_objects_v2().bucket(bucket).send().await.unwrap_err();
    let secrets = secrets_as(&stack, "backup");
    let opened =
        secrets.get_secret_value().secret_id(stack.secrets.id("backup-key")).send().await.unwrap_err();

    let denied = stack.take_denied();
    assert_eq!(
        actions(&denied),
        [
            "s3:GetObject",
            "s3:GetObject",
            "s3:DeleteObjectVersion",
            "s3:PutObject",
            "s3:ListBucket",
            "secretsmanager:GetSecretValue"
        ]
    );
    assert!(denied.iter().all(|denied| denied.function == "backup"), "{denied:?}");
    assert_eq!(read.as_service_error().unwrap().meta().code(), Some("AccessDenied"));
    assert_eq!(opened.as_service_error().unwrap().meta().code(), Some("AccessDeniedException"));
    // With the operator's key, all of that is there.
    stack.s3.read(&key).await.unwrap();
    // The binary itself, where its variable names the key: it is told, and shows nothing of it.
    let key_id = stack.secrets.id("backup-key");
    let change = |config: &mut FunctionConfig| {
        config.environment.insert("DATABASE_SECRET_ID".to_owned(), key_id.clone());
    };
    stack.lambda.configure("backup", change).unwrap();
    let (error_type, message) = fail(&stack, "backup", json!({"backup_type": "full"})).await;
    assert_eq!(error_type, "SecretUnavailable");
    assert!(message.contains("AccessDenied") && !message.contains("AGE-SECRET-KEY"), "{message}");
    assert_eq!(actions(&stack.take_denied()), ["secretsmanager:GetSecretValue"]);
}

#[tokio::test]
async fn the_webhook_does_not_reach_the_bucket_nor_the_backups_key() {
    let stack = Stack::builder().functions(["webhook", "backup"]).start().await.unwrap();
    let id = id_of(&full_backup(&stack).await);
    let key = format!("v1/backups/{id}/manifest.json");
    let (bucket, s3) = (stack.s3.bucket(), s3_as(&stack, "webhook"));
    let keys = [&key, "v1/reports/x", "anything"];
    for key in keys {
        s3.get_object().bucket(bucket).key(key).send().await.unwrap_err();
        s3.put_object().bucket(bucket).key(key).body(b"x".to_vec().into()).send().await.unwrap_err();
        s3.delete_object().bucket(bucket).key(key).send().await.unwrap_err();
    }
    s3.list_objects_v2().bucket(bucket).prefix("v1/backups/").send().await.unwrap_err();
    let secrets = secrets_as(&stack, "webhook");
    secrets.get_secret_value().secret_id(stack.secrets.id("backup-key")).send().await.unwrap_err();
    secrets
        .put_secret_value()
        .secret_id(stack.secrets.id("database"))
        .secret_string("{}")
        .send()
        .await
        .unwrap_err();

    assert_eq!(stack.take_denied().len(), 3 * keys.len() + 3);
    stack.s3.read(&key).await.unwrap();
    assert_eq!(stack.secrets.get("database").await.unwrap(), json!({"url": stack.database_url}));
}

#[tokio::test]
async fn what_reads_backups_cannot_change_them_and_what_reports_cannot_read() {
    let stack = Stack::start().await.unwrap();
    let id = id_of(&full_backup(&stack).await);
    let key = format!("v1/backups/{id}/manifest.json");
    let bucket = stack.s3.bucket();
    for function in ["verify", "restore", "reconcile"] {
        let s3 = s3_as(&stack, function);
        let body = || b"x".to_vec().into();
        s3.put_object().bucket(bucket).key(&key).body(body()).send().await.unwrap_err();
        s3.delete_object().bucket(bucket).key(&key).send().await.unwrap_err();
        let many = aws_sdk_s3::types::Delete::builder()
            .objects(aws_sdk_s3::types::ObjectIdentifier::builder().key(&key).build().unwrap())
            .build()
            .unwrap();
        s3.delete_objects().bucket(bucket).delete(many).send().await.unwrap_err();
        let denied = stack.take_denied();
        assert_eq!(actions(&denied), ["s3:PutObject", "s3:DeleteObject", "s3:DeleteObject"], "{function}");
    }
    let s3 = s3_as(&stack, "reconcile");
    s3.get_object().bucket(bucket).key(&key).send().await.unwrap_err();
    s3.get_object().bucket(bucket).key("v1/reports/x").send().await.unwrap_err();
    s3.list_objects_v2().bucket(bucket).prefix("v1/reports/").send().await.unwrap_err();
    assert_eq!(actions(&stack.take_denied()), ["s3:GetObject", "s3:GetObject", "s3:ListBucket"]);
    let whole = succeed(&stack, "verify", json!({"action": "full", "backup_id": id})).await;
    assert_eq!(whole["status"], "whole");
}

#[tokio::test]
#[should_panic(expected = "does not allow what a function did")]
async fn a_test_whose_function_was_denied_something_fails() {
    let stack = Stack::builder().functions(["webhook"]).start().await.unwrap();
    let _ = s3_as(&stack, "webhook").list_objects_v2().bucket(stack.s3.bucket()).send().await;
}
